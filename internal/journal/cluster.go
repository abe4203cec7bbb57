package journal

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// connect reaches the external cluster, within ctx.
func (s *session) connect(ctx context.Context) (*nats.Conn, error) {
	j := s.j
	// What is written while there is no connection must fail, and not reach the cluster minutes later: another process
	// may have taken over by then.
	options := append(j.clientOptions(), nats.Timeout(5*time.Second), nats.ReconnectBufSize(-1))
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline); left < 5*time.Second {
			options = append(options, nats.Timeout(max(left, time.Millisecond)))
		}
	}
	if j.opts.CredsFile != "" {
		if _, err := os.ReadFile(j.opts.CredsFile); err != nil {
			return nil, fmt.Errorf("read the credentials file: %w", err)
		}
		options = append(options, nats.UserCredentials(j.opts.CredsFile))
	}
	type result struct {
		conn *nats.Conn
		err  error
	}
	// Connecting knows no context, and a server that accepts and then says nothing holds it up.
	done := make(chan result, 1)
	go func() {
		conn, err := nats.Connect(j.opts.NATS, options...)
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("connect to NATS: %w: check store.nats, the network and the credentials", r.err)
		}
		return r.conn, nil
	case <-ctx.Done():
		go func() {
			if r := <-done; r.conn != nil {
				r.conn.Close()
			}
		}()
		return nil, fmt.Errorf("connect to NATS: no answer: %w: check store.nats and the network", ctx.Err())
	}
}

// await waits for a connection that was lost, as long as a write may take.
func (s *session) await(ctx context.Context) error {
	if s.server != nil || s.conn == nil || s.conn.IsConnected() {
		return nil
	}
	changed := s.conn.StatusChanged(nats.CONNECTED)
	defer s.conn.RemoveStatusListener(changed)
	if s.conn.IsConnected() {
		return nil
	}
	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return errors.New("no connection to NATS: check the network")
	}
}

func (j *Journal) clientOptions() []nats.Option {
	return []nats.Option{
		nats.Name("portcullis"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				j.logger.Warn("nats connection lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { j.logger.Warn("nats connection restored") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			j.logger.Warn("nats client error", "err", err)
		}),
	}
}

func (s *session) checkJetStream(ctx context.Context) error {
	_, err := s.js.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return fmt.Errorf("%w: enable JetStream on the server and for the account", err)
	}
	if err != nil {
		return fmt.Errorf("ask for JetStream: %w", err)
	}
	return nil
}

// redactURLs takes the passwords and tokens out of a list of NATS URLs.
func redactURLs(list string) string {
	urls := strings.Split(list, ",")
	for i, s := range urls {
		s = strings.TrimSpace(s)
		u, err := url.Parse(s)
		switch {
		case err != nil || (u.Host == "" && strings.Contains(s, "@")):
			urls[i] = s[strings.LastIndex(s, "@")+1:]
		case u.User != nil:
			// nats://token@host carries a token where others carry a name.
			u.User = nil
			urls[i] = u.String()
		default:
			urls[i] = s
		}
	}
	return strings.Join(urls, ",")
}
