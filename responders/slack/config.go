package slack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	slackapi "github.com/slack-go/slack"
)

// Config says where incidents are shown. Printing a Config in any form leaves
// the token out.
type Config struct {
	Token   string `json:"-"`       // bot token, scope chat:write
	Channel string `json:"channel"` // name such as "#identity-oncall", or an id
	APIURL  string `json:"api_url"` // Slack's own if empty; another only for a test server
}

// Defaults fills in what may be left out and drops the blanks that files tend
// to end with.
func (c *Config) Defaults() {
	c.Token = strings.TrimSpace(c.Token)
	c.Channel = strings.TrimSpace(c.Channel)
	if c.APIURL == "" {
		c.APIURL = slackapi.APIURL
	}
	if !strings.HasSuffix(c.APIURL, "/") {
		c.APIURL += "/"
	}
}

// Validate reports every problem of c at once; none of them shows the token.
func (c Config) Validate() error {
	var problems []error
	switch {
	case c.Token == "":
		problems = append(problems, errors.New("slack token is empty: set the bot token of the Slack app"))
	case strings.HasPrefix(c.Token, "xapp-"):
		problems = append(problems, errors.New("slack token is an app-level token: set the bot token, which starts with xoxb-"))
	case strings.ContainsAny(c.Token, " \t\r\n"):
		problems = append(problems, errors.New("slack token contains blanks: set the bot token alone"))
	}
	if c.Channel == "" {
		problems = append(problems, errors.New("slack channel is empty: name the channel to post to"))
	}
	if err := checkURL(c.APIURL); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// checkURL refuses to carry the token over a network in the clear.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return errors.New("slack api url is not a plain URL: leave it empty outside tests")
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return fmt.Errorf("slack api url of host %s is not https: the token would travel in the clear", u.Hostname())
	}
	return nil
}

// String shows c without its token.
func (c Config) String() string { return fmt.Sprintf("slack channel %s", c.Channel) }

// GoString shows c without its token.
func (c Config) GoString() string { return c.String() }

// LogValue shows c without its token.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Options configures a Slack; the zero value of every field works.
type Options struct {
	HTTPClient *http.Client  // one that follows no redirect if nil; each request is cut off after 15s anyway
	Logger     *slog.Logger  // discards if nil; also takes the reports that Slack does not
	Store      Store         // memory only if nil: after a restart incidents get a new message
	Debounce   time.Duration // least time between two versions of one incident's message; 3s if zero, none if negative
	Pace       time.Duration // mean time between requests after a burst of four; 1.2s, which Slack allows, if zero, none if negative
}

// Ref names a message in Slack.
type Ref struct {
	Channel string `json:"channel"` // id of the channel, as Slack gave it
	TS      string `json:"ts"`      // Slack's time stamp, which is the message's id
}

// Store remembers the message of each incident across restarts. Calls come
// from one goroutine at a time and are given five seconds.
type Store interface {
	// Load gives the message of an incident, and false if it has none. After
	// an error the incident gets a new message: two are better than none.
	Load(ctx context.Context, incidentID string) (Ref, bool, error)
	// Save replaces the message of an incident. After an error it is tried
	// again with the incident's next update.
	Save(ctx context.Context, incidentID string, ref Ref) error
}
