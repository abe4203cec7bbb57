package labelled

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
)

// World is the tenant's users and the networks that they and others are in.
type World struct {
	seed    uint64
	people  []person
	admins  []person
	offices []place
	agents  []agent // browsers and apps, the common ones more often
}

// person is one user.
type person struct {
	n      int
	id     string
	email  string
	home   place
	office int // -1 for none
	rate   float64
	phone  agent // of the app, with its own fingerprint
	mobile bool  // prefers it
	vpn    bool
	factor string // sms, push, otp or "" for none
	number string // telephone
}

// place is where an event comes from.
type place struct {
	ip    string
	at    *country
	agent agent
}

// agent is a browser or an app.
type agent struct {
	name   string
	ja4    string
	mobile bool
}

type country struct {
	code, city string
	lat, lon   float64
}

var (
	germany = &country{"DE", "Berlin", 52.52, 13.40}
	swiss   = &country{"CH", "Zurich", 47.37, 8.54}
	austria = &country{"AT", "Vienna", 48.21, 16.37}
	france  = &country{"FR", "Lyon", 45.76, 4.84}
	dutch   = &country{"NL", "Amsterdam", 52.37, 4.90}
	sweden  = &country{"SE", "Stockholm", 59.33, 18.07}
	america = &country{"US", "Ashburn", 39.04, -77.49}
	brazil  = &country{"BR", "Sao Paulo", -23.55, -46.63}
	vietnam = &country{"VN", "Hanoi", 21.03, 105.85}
	romania = &country{"RO", "Bucharest", 44.43, 26.10}

	homeLands   = []*country{germany, germany, germany, swiss, swiss, austria, france}
	hostileLand = []*country{brazil, vietnam, romania, america, dutch}
)

// Numbers of shared networks. Four in ten thousand users work in each office.
const (
	officePeople  = 120
	carriers      = 4
	carrierPool   = 48 // addresses of a carrier that all its customers share
	vpnExits      = 24
	officePercent = 25
)

// New makes a world. The number of users is at least 500.
func New(seed uint64, users int) *World {
	w := &World{seed: seed}
	rng := w.rng(1)
	w.agents = browsers()
	officeCount := max(2, users*officePercent/100/officePeople)
	for i := range officeCount {
		w.offices = append(w.offices, place{ip: fmt.Sprintf("193.%d.%d.%d", 20+i%40, 10+i/40, 8+i%200), at: homeLands[i%len(homeLands)]})
	}
	for i := range max(users, 500) {
		w.people = append(w.people, w.person(rng, i))
	}
	for i := range 5 {
		a := w.person(rng, 1_000_000+i)
		a.email, a.office, a.vpn = fmt.Sprintf("admin%d@corp.example", i), 0, false
		a.home.agent = w.agents[i]
		w.admins = append(w.admins, a)
	}
	return w
}

func (w *World) rng(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, stream)) }

func (w *World) person(rng *rand.Rand, n int) person {
	p := person{n: n, id: fmt.Sprintf("auth0|%024x", 0x65a0c0de00000+n*7919), office: -1, rate: 0.25 + rng.ExpFloat64()*0.7, mobile: rng.IntN(100) < 45, vpn: rng.IntN(100) < 3}
	first, last := firstNames[rng.IntN(len(firstNames))], lastNames[rng.IntN(len(lastNames))]
	p.email = fmt.Sprintf("%s.%s%d@%s", first, last, n%977, mailDomains[rng.IntN(len(mailDomains))])
	p.number = fmt.Sprintf("+4915%09d", n*4421%1_000_000_000)
	p.home = place{ip: homeAddress(n), at: homeLands[n%len(homeLands)], agent: w.browser(rng)}
	p.phone = agent{name: appNames[rng.IntN(len(appNames))], ja4: appPrints[rng.IntN(len(appPrints))], mobile: true}
	if rng.IntN(100) < officePercent {
		p.office = rng.IntN(len(w.offices))
	}
	switch k := rng.IntN(100); {
	case k < 5:
		p.factor = "sms"
	case k < 13:
		p.factor = "push"
	case k < 18:
		p.factor = "otp"
	}
	return p
}

// homeAddress is an address of an access provider that nobody else has.
func homeAddress(n int) string {
	provider := n % 18
	host := uint32(n/18)*3 + 11
	a := uint32(77+provider)<<24 | uint32(20+provider*3)<<16 + host
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}).String()
}

// browser picks a browser as often as it is met.
func (w *World) browser(rng *rand.Rand) agent {
	i := min(rng.IntN(len(w.agents)), rng.IntN(len(w.agents)), rng.IntN(len(w.agents)))
	return w.agents[i]
}

// onMobile is where a person is whose telephone is in a carrier's network: behind
// an address of the carrier's, another one each time.
func (w *World) onMobile(rng *rand.Rand, p *person) place {
	return place{ip: carrierAddress(p.n%carriers, rng.IntN(carrierPool)), at: p.home.at, agent: p.phone}
}

func carrierAddress(carrier, i int) string { return fmt.Sprintf("109.%d.%d.%d", 40+carrier, i%2, 16+i) }

// onVPN is where a person is who has switched a VPN on.
func (w *World) onVPN(rng *rand.Rand, p *person) place {
	i := rng.IntN(vpnExits)
	return place{ip: fmt.Sprintf("146.70.%d.%d", 20+i%6, 30+i), at: []*country{dutch, sweden, swiss, america}[i%4], agent: p.home.agent}
}

// browsers are common browsers; each has a fingerprint that its versions share.
func browsers() []agent {
	var out []agent
	for i, name := range []string{"Chrome", "Mobile Safari", "Edge", "Firefox", "Chrome Mobile", "Safari", "Opera", "Samsung Internet"} {
		for v := range 3 {
			for _, system := range systems[name] {
				out = append(out, agent{name: fmt.Sprintf("%s %d.0.0 / %s", name, 118+v+i, system), ja4: fmt.Sprintf("t13d15%02dh2_8daaf615%04x_%012x", 10+i, 0xc0de+i, 0xe5627efa2ab1+i*v%2), mobile: i == 1 || i == 4 || i == 7})
			}
		}
	}
	return out
}

var systems = map[string][]string{
	"Chrome": {"Windows 10.0.0", "Mac OS X 10.15.7", "Linux 0.0.0"}, "Mobile Safari": {"iOS 17.4.1", "iOS 18.1.0"}, "Edge": {"Windows 10.0.0"},
	"Firefox": {"Windows 10.0.0", "Ubuntu 0.0.0"}, "Chrome Mobile": {"Android 13.0.0", "Android 14.0.0"}, "Safari": {"Mac OS X 10.15.7"},
	"Opera": {"Windows 10.0.0"}, "Samsung Internet": {"Android 14.0.0"},
}

var (
	appNames    = []string{"Storefront/5.2 CFNetwork/1490.0.4 Darwin/23.2.0", "Storefront/5.3 CFNetwork/1496.0.7 Darwin/23.5.0", "Storefront/5.2 okhttp/4.12.0", "Storefront/5.3 okhttp/4.12.0"}
	appPrints   = []string{"t13d2014h2_a09f3c656075_14788d8d241b", "t13d1713h2_5b57614c22b0_eca864cca44a", "t13d1516h2_8daaf6152771_d8a2da3f94cd"}
	firstNames  = []string{"anna", "ben", "clara", "david", "eva", "felix", "greta", "hugo", "ida", "jan", "karla", "leo", "mia", "noah", "olga", "paul", "rosa", "sam", "tina", "uwe", "vera", "willi"}
	lastNames   = []string{"adler", "bauer", "conrad", "dietz", "ernst", "fuchs", "graf", "huber", "imhof", "jung", "keller", "lang", "meier", "neumann", "ott", "pfister", "roth", "suter", "thoma", "vogel", "wyss", "zimmer"}
	mailDomains = []string{"gmail.com", "gmail.com", "gmail.com", "gmx.de", "gmx.ch", "web.de", "bluewin.ch", "outlook.com", "icloud.com", "orange.fr", "corp.example", "firm.example"}
)
