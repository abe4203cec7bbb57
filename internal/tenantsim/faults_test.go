package tenantsim

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRateLimit(t *testing.T) {
	s := newSite(t, Options{RateBurst: 3, RateRefill: 0.001})
	for left := 2; left >= 0; left-- {
		got := s.call("GET", "/logs", "")
		require.Equal(t, 200, got.status)
		require.Equal(t, "3", got.header.Get("X-RateLimit-Limit"))
		require.Equal(t, strconv.Itoa(left), got.header.Get("X-RateLimit-Remaining"))
		reset, err := strconv.ParseInt(got.header.Get("X-RateLimit-Reset"), 10, 64)
		require.NoError(t, err)
		require.InDelta(t, time.Now().Unix()+int64(3-left)*1000, reset, 3)
	}
	for range 2 {
		got := s.call("PATCH", "/attack-protection/bot-detection", `{"bot_detection_level":"high"}`)
		require.Equal(t, 429, got.status)
		require.Contains(t, got.json(t)["message"], "Too many requests. Check the X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset")
		require.Empty(t, got.header.Get("Retry-After"))
		require.Equal(t, "0", got.header.Get("X-RateLimit-Remaining"))
	}
	require.Equal(t, "medium", s.BotDetection()["bot_detection_level"])
	require.Len(t, ofType(s.events(), "api_limit"), 1, "the limit is logged, but not for every call")
	require.NotEmpty(t, s.fetchToken(), "tokens are not counted")
	require.Equal(t, map[string]int{"GET": 3, "PATCH": 2}, s.Stats().APICalls)
}

func TestTheBucketRefillsInRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(2, 4)
		require.True(t, b.take(time.Now()))
		require.True(t, b.take(time.Now()))
		require.False(t, b.take(time.Now()))
		time.Sleep(250 * time.Millisecond)
		require.True(t, b.take(time.Now()))
		require.False(t, b.take(time.Now()))
		time.Sleep(time.Hour)
		require.True(t, b.take(time.Now()))
		require.True(t, b.take(time.Now()))
		require.False(t, b.take(time.Now()), "never more than the burst")
	})
}

func TestFaults(t *testing.T) {
	const patch, high = "/attack-protection/bot-detection", `{"bot_detection_level":"high"}`
	for _, tc := range []struct {
		name    string
		fault   Fault
		status  int // 0: the connection breaks
		retry   string
		applied bool
	}{
		{"a status instead of the answer", Fault{Status: 500}, 500, "", false},
		{"a status after the write was applied", Fault{Status: 503, AfterApply: true}, 503, "", true},
		{"a dropped connection", Fault{Drop: true}, 0, "", false},
		{"a dropped connection after the write was applied", Fault{Drop: true, AfterApply: true}, 0, "", true},
		{"too many requests with a time to wait", Fault{Status: 429, RetryAfter: "7"}, 429, "7", false},
		{"a token gone bad", Fault{Status: 401}, 401, "", false},
		{"a scope gone", Fault{Status: 403}, 403, "", false},
		{"only slow", Fault{Latency: time.Millisecond}, 200, "", true},
		{"of another method", Fault{Method: "GET", Status: 500}, 200, "", true},
		{"of another path", Fault{PathPrefix: "/api/v2/network-acls", Status: 500}, 200, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t, Options{})
			s.Fail(tc.fault)
			got, err := s.send("PATCH", patch, high)
			if tc.status == 0 {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, tc.status, got.status)
				require.Equal(t, tc.retry, got.header.Get("Retry-After"))
				require.NotEmpty(t, got.header.Get("X-RateLimit-Remaining"))
			}
			require.Equal(t, tc.applied, s.BotDetection()["bot_detection_level"] == "high")
			require.Equal(t, tc.applied, len(ofType(s.events(), "sapi")) == 1, "what was applied is logged")
			s.ClearFaults()
			require.Equal(t, 200, s.call("PATCH", patch, high).status)
		})
	}
}

func TestFaultsQueueAndRunOut(t *testing.T) {
	s := newSite(t, Options{})
	s.Fail(Fault{Method: "GET", PathPrefix: "/api/v2/logs", Status: 500, Times: 2})
	s.Fail(Fault{Status: 503})
	s.Fail(Fault{PathPrefix: "/oauth/token", Status: 503, Times: -1})
	var got []int
	for range 4 {
		got = append(got, s.call("GET", "/logs", "").status)
	}
	require.Equal(t, []int{500, 500, 503, 200}, got)
	for range 3 {
		require.Equal(t, 503, s.call("POST", s.url+"/oauth/token", "").status)
	}
}

func TestASlowAnswerEndsWithItsCaller(t *testing.T) {
	s := newSite(t, Options{})
	s.Fail(Fault{Latency: time.Hour})
	client := &http.Client{Timeout: 50 * time.Millisecond}
	req, err := http.NewRequest("GET", s.url+"/api/v2/logs", nil)
	require.NoError(t, err)
	_, err = client.Do(req)
	require.Error(t, err)
}
