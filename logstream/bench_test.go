package logstream

import (
	"strings"
	"testing"

	"github.com/valyala/fastjson"
)

// sampleLine is a webhook envelope of about 1.2 KB.
var sampleLine = `{"log_id":"90020260105101530123000000000000001223372036854775001","data":{"$event_schema":{"version":"2.146.2"},"date":"2026-01-05T10:15:30.123Z","type":"fp","description":"Wrong email or password.","connection":"Username-Password-Authentication","connection_id":"con_AAAAAAAAAAAAAAAA","client_id":"cl1AbCdEfGhIjKlMnOpQrStUvWx","client_name":"Web","ip":"198.51.100.7","user_agent":"Chrome 120.0.0 / Mac OS X 10.15.7","is_mobile":false,"details":{"error":{"message":"Wrong email or password."},"transaction_id":"` + strings.Repeat("t", 60) + `","session_id":"` + strings.Repeat("s", 40) + `","riskAssessment":{"confidence":"low","version":"1","assessments":{"ImpossibleTravel":{"code":"minimal_travel_from_last_login","confidence":"high"},"NewDevice":{"code":"no_match","confidence":"low","details":{"device":"unknown","useragent":"unknown"}},"UntrustedIP":{"code":"not_found_on_deny_list","confidence":"high"}}}},"user_id":"auth0|0123456789abcdef01234567","user_name":"a@example.com","strategy":"auth0","strategy_type":"database","security_context":{"ja3":"0123456789abcdef0123456789abcdef","ja4":"t13d1516h2_8daaf6152771_b0da82dd1658"},"log_id":"90020260105101530123000000000000001223372036854775001","tenant_name":"t1","environment_name":"prod-eu-1"}}`

func BenchmarkDecode(b *testing.B) {
	line := []byte(sampleLine)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	d := &decoder{keep: true}
	for b.Loop() {
		d.arena = d.arena[:0]
		if _, _, err := d.event(line); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFastjson is the yardstick for the scanner of this package: a general
// parser on the same line, without any lookup.
func BenchmarkFastjson(b *testing.B) {
	line := []byte(sampleLine)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	ps := make([]fastjson.Parser, 512)
	i := 0
	for b.Loop() {
		if _, err := ps[i%512].ParseBytes(line); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
