package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdPost posts a file, once, with the token and headers like
// Content-Encoding=gzip, and compares the status. The answer is in the file
// answer.
func cmdPost(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 4, "post STATUS URL TOKEN FILE [HEADER=VALUE…]")
	body, err := os.ReadFile(ts.MkAbs(args[3]))
	ts.Check(err)
	resp, err := request(ts, http.MethodPost, args[1], args[2], body, args[4:])
	ts.Check(err)
	answer(ts, args[0], resp)
}

// cmdGet gets a URL and compares the status. With an expression it asks until
// there is an answer of that status that matches. A token of - sends none. The
// answer is in the file answer.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 3, "get STATUS URL TOKEN [REGEXP]")
	if len(args) == 3 {
		resp, err := request(ts, http.MethodGet, args[1], args[2], nil, nil)
		ts.Check(err)
		answer(ts, args[0], resp)
		return
	}
	re, err := regexp.Compile("(?m)" + args[3])
	ts.Check(err)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		last := ""
		resp, err := request(ts, http.MethodGet, args[1], args[2], nil, nil)
		if err == nil {
			body, err := io.ReadAll(resp.Body)
			ts.Check(err)
			resp.Body.Close()
			ts.Check(os.WriteFile(ts.MkAbs("answer"), body, 0o600))
			if strconv.Itoa(resp.StatusCode) == args[0] && re.Match(body) {
				return
			}
			last = resp.Status + "\n" + string(body)
		} else {
			last = err.Error()
		}
		if time.Now().After(end) {
			ts.Fatalf("%s never had a match of %s: %s", args[1], args[3], last)
		}
	}
}

func request(ts *testscript.TestScript, method, url, token string, body []byte, headers []string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader(body))
	ts.Check(err)
	if token != "-" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, "=")
		req.Header.Set(name, value)
	}
	return http.DefaultClient.Do(req)
}

func answer(ts *testscript.TestScript, status string, resp *http.Response) {
	defer resp.Body.Close()
	want, err := strconv.Atoi(status)
	ts.Check(err)
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), body, 0o600))
	if resp.StatusCode != want {
		ts.Fatalf("%s %s: %s, expected %d: %s", resp.Request.Method, resp.Request.URL, resp.Status, want, body)
	}
}

// cmdEnvelopes writes all events of the tenant as its log stream would send them.
// The last one's log_id goes into the variable, if one is named.
func cmdEnvelopes(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 1, "envelopes FILE [VARIABLE]")
	t := stateOf(ts).tenant
	if t == nil {
		ts.Fatalf("no tenant was started")
	}
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	ts.Check(t.sim.WriteEnvelopes(f))
	if len(args) > 1 {
		ids := regexp.MustCompile(`"log_id":"([0-9]+)"`).FindAllStringSubmatch(ts.ReadFile(args[0]), -1)
		ts.Setenv(args[1], ids[len(ids)-1][1])
	}
}
