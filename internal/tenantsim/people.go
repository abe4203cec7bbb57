package tenantsim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// agent is a browser or tool: its User-Agent header, the normalised form the API shows, and its TLS fingerprints.
type agent struct {
	raw, normal string
	mobile      bool
	ja3, ja4    string
}

var browsers = []agent{
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
		"Chrome 138.0.0 / Mac OS X 10.15.7", false, "8f1a6f2d0f0d4c1e9d3a5b7c91e2f304", "t13d1516h2_8daaf6152771_d8a2da3f94cd"},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
		"Chrome 138.0.0 / Windows 10.0.0", false, "3b5074b1b5d032e5620f69f9f700ff0e", "t13d1516h2_8daaf6152771_02713d6af862"},
	{"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Firefox 140.0.0 / Linux 0.0.0", false, "b5001237acdf006056b409cc433726b0", "t13d1715h2_5b57614c22b0_5c2c66f702b0"},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
		"Mobile Safari 18.5.0 / iOS 18.5.0", true, "773906b0efdefa24a7f2b8eb6985bf37", "t13d2014h2_a09f3c656075_14788d8d241b"},
	{"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
		"Chrome Mobile 138.0.0 / Android 15.0.0", true, "cd08e31494f9531f560d64c695473da9", "t13d1517h2_8daaf6152771_b1ff8ab2d16f"},
}

// tools are what attackers run.
var tools = []agent{
	{"python-requests/2.32.3", "Python Requests 2.32.0 / Other 0.0.0", false, "a48c0d5f95b1ef98f560f324fd275da1", "t13d1812h1_85036bcba153_b26ce05bbdd6"},
	{"okhttp/4.12.0", "okhttp 4.12.0 / Other 0.0.0", false, "f79b6bad2ad0641e1921aef10262856b", "t13d1513h2_8daaf6152771_eca864cca44a"},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36",
		"Chrome 109.0.0 / Windows 10.0.0", false, "19e29534fd49dd27d09234e639c4057e", "t13i190900_9dc949149365_97f8aa674fd9"},
}

const otherAgent = "Other 0.0.0 / Other 0.0.0"

// normalAgent is how the API shows a User-Agent header.
func normalAgent(raw string) string {
	for _, known := range [][]agent{browsers, tools} {
		for i := range known {
			if known[i].raw == raw || known[i].normal == raw {
				return known[i].normal
			}
		}
	}
	if name, system, ok := strings.Cut(raw, " / "); ok && name != "" && system != "" && !strings.Contains(raw, "(") {
		return raw // normalised already
	}
	return otherAgent
}

// app is an application of the tenant.
type app struct {
	id, name   string
	audience   string
	audiences  bool // its tokens carry a list of audiences
	sdk, sdkV  string
	connection string
}

const (
	connectionName = DefaultConnection
	connectionID   = "con_SimDatabase00001"
)

var apps = []app{
	{"wSimWebStorefront0000000000000001", "Storefront", "https://api.storefront.example", false, "auth0-spa-js", "2.1.3", connectionName},
	{"mSimMobileStorefront000000000002", "Storefront mobile", "https://api.storefront.example", true, "Auth0.swift", "2.10.0", connectionName},
	{"aSimAccountPortal000000000000003", "Account portal", "https://account.example", false, "nextjs-auth0", "4.6.0", connectionName},
}

// user is one account. Calm users keep one address, one browser and one application.
type user struct {
	id, email string
	ip        string
	addr      netip.Addr
	agent     *agent
	app       *app
	phone     string
	enrolment string
	logins    int
	refreshes int
	lastSMS   time.Time
	mistyped  string // the one wrong spelling this person uses
	country   string
	asn       int
	conn      *connection // nil: the database
	account   *account    // nil until somebody asks for it
}

const (
	maxUsers         = 100_000 // so that no two address slots fall on one address
	usersPerAddress  = 4       // those behind one shared address; times two spellings this stays below ten names
	sharedShare      = 0.1
	calmBase         = 198<<24 | 18<<16
	calmAddressCount = 1 << 17
)

var calmCountries = []string{"DE", "FR", "NL", "GB", "US"}

// makeUsers returns n users on addresses of 198.18.0.0/15. One in ten shares an address with up to three others.
func makeUsers(n int, seed uint64) []*user {
	rng := newRand(seed, streamUsers)
	users := make([]*user, 0, n)
	slot, onSlot := 1, 0
	for i := range n {
		if onSlot > 0 && (onSlot >= usersPerAddress || rng.Float64() >= sharedShare) {
			slot, onSlot = slot+1, 0
		}
		onSlot++
		users = append(users, newUser(i, slot, rng))
	}
	return users
}

func newUser(i, slot int, rng *rand.Rand) *user {
	v := uint32(calmBase + slot%calmAddressCount)
	addr := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
	id := hexID(rng.Uint64(), rng.Uint64())[:24]
	name := "user" + pad(i, 6)
	return &user{
		id:        "auth0|" + id,
		email:     name + "@people.example",
		mistyped:  name + "@poeple.example",
		addr:      addr,
		ip:        addr.String(),
		agent:     &browsers[rng.IntN(len(browsers))],
		app:       &apps[rng.IntN(len(apps))],
		phone:     "+1XXXXXXX" + pad(rng.IntN(1000), 3),
		enrolment: "sms|dev_" + id[:16],
		logins:    rng.IntN(200),
		country:   calmCountries[slot%len(calmCountries)],
		asn:       64496 + slot%4,
	}
}

func pad(n, width int) string { return fmt.Sprintf("%0*d", width, n) }

func hexID(parts ...uint64) string {
	var b []byte
	for _, p := range parts {
		s := strconv.FormatUint(p, 16)
		b = append(b, "0000000000000000"[len(s):]...)
		b = append(b, s...)
	}
	return string(b)
}
