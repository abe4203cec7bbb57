package main

import (
	"fmt"
	"time"
)

type app struct{ id, name, sdk, version string }

// apps are the tenant's applications.
var apps = []app{
	{"Rw3kTz8LqVb2YxN5mHs7Jd4PcGf6Ae1U", "Web shop", "auth0-react", "2.2.4"},
	{"u7Qp2Xc9VnB4mLk6JhG3fDs8aZ1wErTy", "Phone app", "Auth0.swift", "2.10.0"},
	{"Yh5tGb7NmJu3KiL9oPl2QaZ6wSx4EdCr", "Tablet app", "Auth0.Android", "2.11.0"},
	{"c8Vf2Bg6Nh4Mj1Kl9Pq5Wz3Xe7RtYuIo", "Back office", "nextjs-auth0", "4.6.0"},
	{"D4sFg7Hj2Kl5Zx8Cv1Bn3Mq6We9RtYuP", "Partner portal", "auth0-spa-js", "2.1.3"},
}

type agent struct {
	header, ja3, ja4 string
	mobile           bool
}

// agents are browsers and applications with their TLS fingerprints. Auth0 sends
// the header as it came or in a short form of its own.
var agents = []agent{
	{"Chrome 120.0.0 / Windows 10.0.0", "cd08e31494f9531f560d64c695473da9", "t13d1516h2_8daaf6152771_02713d6af862", false},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15", "773906b0efdefa24a7f2b8eb6985bf37", "t13d2014h2_a09f3c656075_14788d8d241b", false},
	{"Mobile Safari 17.2.0 / iOS 17.2.0", "a195b9c006fcb23ab9a2343b0871e362", "t13d2014h2_a09f3c656075_e42f34c56612", true},
	{"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.144 Mobile Safari/537.36", "9b02ebd3a43b62d825e1ac605b621dc8", "t13d1517h2_8daaf6152771_b0da82dd1658", true},
	{"Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0", "579ccef312d18482fc42e2b822ca2430", "t13d1715h2_5b57614c22b0_7121afd63204", false},
	{"Shop/5.4.1 (com.example.shop; build:541; iOS 17.2.1) Alamofire/5.8.1", "44f7ed5185d22c92b96da72dbe68d307", "t13d1312h2_f57a46bbacb6_ab7e3b40a677", true},
	{"Edge 120.0.2210 / Windows 10.0.0", "b32309a26951912be7dba376398abc3b", "t13d1516h2_8daaf6152771_e5627efa2ab1", false},
}

// identity spreads the number of a user over 64 bits, so that neighbours do not
// look alike.
func identity(user int) uint64 {
	x := uint64(user) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// appendAddress writes an address of the spaces set aside for tests, shared
// carriers and examples. Three of four are IPv4; a negative one is an attacker's.
func appendAddress(b []byte, n int) []byte {
	if n < 0 {
		return fmt.Appendf(b, "203.0.113.%d", -n%254+1)
	}
	if n%4 == 3 {
		return fmt.Appendf(b, "2001:db8:%x:%x::%x", n>>16+1, n&0xffff, n%7+1)
	}
	n -= n / 4 // dense
	return fmt.Appendf(b, "100.%d.%d.%d", 64+n>>16, n>>8&255, n&255)
}

// appendStamp writes a time as the digits of YYYYMMDDhhmmss and milliseconds.
func appendStamp(b []byte, t time.Time) []byte {
	b = t.AppendFormat(b, "20060102150405")
	return fmt.Appendf(b, "%03d", t.Nanosecond()/int(time.Millisecond))
}

// Append writes the present event as one line of a log stream, with its newline.
func (g *Generator) Append(b []byte) []byte {
	e := &g.present
	a, agent, has := apps[e.app], agents[e.agent], e.shape.has

	id := appendStamp(append(make([]byte, 0, 64), "900"...), e.logged)
	id = fmt.Appendf(id, "%035d", 1_223_372_036_854_000_000+g.seq)

	b = append(b, `{"log_id":"`...)
	b = append(b, id...)
	b = append(b, `","data":{"$event_schema":{"version":"2.146.2"},"date":"`...)
	b = e.at.AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, '"')
	b = text(b, "type", e.shape.code)
	b = text(b, "description", e.shape.description)
	if has&connection != 0 {
		b = append(b, `,"connection":"Username-Password-Authentication","connection_id":"con_Zr4Tq8Lm2Wx6Yb1N"`...)
	}
	if has&client != 0 {
		b = text(b, "client_id", a.id)
		b = text(b, "client_name", a.name)
	}
	b = append(b, `,"ip":"`...)
	b = append(appendAddress(b, e.address), '"')
	if has&peer != 0 {
		b = append(b, `,"client_ip":"`...)
		b = append(appendAddress(b, e.address), '"')
	}
	b = text(b, "user_agent", agent.header)
	b = fmt.Appendf(b, `,"is_mobile":%t`, agent.mobile)
	if has&host != 0 {
		b = append(b, `,"hostname":"login.acme.example"`...)
	}
	b = append(b, `,"details":`...)
	b = e.shape.details(b, e)
	if has&person != 0 {
		if e.user < 0 {
			b = fmt.Appendf(b, `,"user_id":"","user_name":"guess%06d@mail.example"`, e.name)
		} else {
			b = fmt.Appendf(b, `,"user_id":"auth0|%024x","user_name":"user%06d@mail.example"`, identity(e.user), e.user)
		}
	}
	if has&strategy != 0 {
		b = append(b, `,"strategy":"auth0","strategy_type":"database"`...)
	}
	if has&audience != 0 {
		b = text(b, "audience", "https://api.example.com/")
	}
	if has&scope != 0 {
		b = append(b, `,"scope":"openid profile email offline_access"`...)
	}
	if has&sdk != 0 {
		b = fmt.Appendf(b, `,"auth0_client":{"name":"%s","version":"%s"}`, a.sdk, a.version)
	}
	if has&fingerprint != 0 {
		b = fmt.Appendf(b, `,"security_context":{"ja3":"%s","ja4":"%s"}`, agent.ja3, agent.ja4)
	}
	if has&reference != 0 {
		b = fmt.Appendf(b, `,"references":{"correlation_id":"%016x"}`, e.session)
	}
	b = append(b, `,"log_id":"`...)
	b = append(b, id...)
	return append(b, `","tenant_name":"acme-prod","environment_name":"prod-eu-1"}}`+"\n"...)
}

// text appends a member whose value needs no escaping.
func text(b []byte, name, value string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":"`...)
	b = append(b, value...)
	return append(b, '"')
}
