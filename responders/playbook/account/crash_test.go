package account

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders/playbook"
)

// irreversible are the requests that cannot be taken back.
var irreversible = []string{"/revoke-access", "/change_password", "/rotate-secret", "DELETE "}

// play runs a playbook to its end, with a person who approves what is asked and an
// owner who uses the mail; the process dies at one step outside.
func play(t *testing.T, book string, cut int, late bool) (w *world, end string, calls []string) {
	w = newWorld(t, tenantsim.Options{})
	w.yes, w.late = true, late
	subject := victim
	switch book {
	case "leaked-client-secret":
		subject = "app1"
	case "fraudulent-signups":
		w.takenOver(tenantsim.NewUser{Created: start.Add(40 * time.Minute)})
	default:
		w.takenOver(tenantsim.NewUser{})
	}
	w.boot(cut)
	life := func(do func() error) {
		if err := do(); err == nil {
			return
		}
		require.Error(t, w.ctx.Err(), "only the crash fails")
		w.boot(-1)
		w.seen = 0 // a recovery offers the past again
		require.NoError(t, do())
	}
	begin := func() error {
		if len(w.store) > 0 {
			return nil
		}
		_, err := w.begin(book, subject)
		return err
	}
	life(begin)
	life(func() error { return w.settle(10 * time.Minute) })
	if mails := w.Mails(); len(mails) > 0 {
		w.resetBy(home)
	}
	life(func() error { return w.settle(30 * time.Minute) })
	run := w.only()
	end = fmt.Sprint(run.State)
	if a, there := w.Account(subject); there {
		end += fmt.Sprint(" blocked=", a.Blocked, " sessions=", len(a.Sessions), " tokens=", len(a.RefreshTokens), " grants=", a.Grants,
			" remembered=", a.RememberedBrowsers, " mails=", len(w.Mails()))
	}
	for _, call := range w.writes {
		if slices.ContainsFunc(irreversible, func(part string) bool { return strings.Contains(call, part) }) {
			calls = append(calls, call)
		}
	}
	return w, end, calls
}

func TestEveryPlaybookEndsTheSameWhereverItIsKilled(t *testing.T) {
	for book := range shipped(t, Measures(nil)) {
		t.Run(book, func(t *testing.T) {
			t.Parallel()
			_, end, calls := play(t, book, -1, false)
			step := 7
			switch {
			case os.Getenv("PORTCULLIS_LONG") != "":
				step = 1
			case testing.Short():
				step = 29
			}
			for _, late := range []bool{false, true} {
				for cut := 0; ; cut += step {
					w, gotEnd, gotCalls := play(t, book, cut, late)
					if w.left > 0 {
						require.Greater(t, cut, 5, "the crash had somewhere to be")
						break // it never came so far
					}
					require.Equal(t, end, gotEnd, "cut %d, late %v: %+v", cut, late, w.only())
					if book != "leaked-client-secret" { // there a person is asked, and says yes to a second rotation
						require.Equal(t, calls, gotCalls, "cut %d, late %v", cut, late)
					}
				}
			}
		})
	}
}

func TestASecretIsNotRotatedTwiceUnasked(t *testing.T) {
	for cut := range 40 {
		w := newWorld(t, tenantsim.Options{})
		_, err := w.begin("leaked-client-secret", "app1")
		require.NoError(t, err)
		require.NoError(t, w.settle(time.Minute))
		w.late = true
		w.boot(cut)
		_, err = w.give(playbook.Order{Run: w.r.Runs()[0].ID, Answer: playbook.Approve})
		if err == nil {
			err = w.settle(time.Minute)
		}
		if err == nil {
			return
		}
		w.boot(-1)
		require.NoError(t, w.settle(time.Hour))
		require.LessOrEqual(t, len(w.writes), 1, "cut %d", cut)
	}
}
