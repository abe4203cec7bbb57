package networkacl

import (
	"fmt"
	"time"

	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Doubt says why a person should look at an entry before it is held; "" when
// nobody need: it is not what people on the never-touch list were seen with, and
// few healthy logins came with it.
func (c *Control) Doubt(h *hold.Hold) string {
	s, err := control.ParseSubject(h.Subject)
	if err != nil || c.opts.Healthy == nil || h.Level == LevelLog {
		return ""
	}
	return c.opts.Healthy.doubt(s, h.Entry.Volume)
}

func (h *Healthy) doubt(s control.Subject, volume int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	kind, value := rememberedAs(s)
	if n, marked := h.state.Marked[key(kind, value)]; marked {
		return fmt.Sprintf("somebody on the never-touch list logged in with %s on %s", s, time.Unix(n*24*60*60, 0).UTC().Format("2006-01-02"))
	}
	if p, ok := s.Prefix(); ok && !contains(blockOf(p.Addr()), p) {
		return fmt.Sprintf("%s is wider than what is remembered of healthy logins", s)
	}
	sure, most := h.state.seen(kind, value)
	total := h.state.total()
	switch {
	case total < enoughLogins && s.Kind == control.KindIP:
		return ""
	case s.Kind != control.KindIP && !h.state.enough(): // one address is judged by what is there
		return fmt.Sprintf("too little is remembered of healthy logins to judge %s", s)
	case float64(most) <= mostHealthy*float64(total) || float64(volume) >= mostAttacked*float64(most+volume):
		return ""
	case float64(sure) <= mostHealthy*float64(total):
		return fmt.Sprintf("%d of the %d logins that succeeded in the last %d days do not tell whether they were of %s", most-sure, total, healthyDays, s)
	default:
		return fmt.Sprintf("%s had %d of the %d logins that succeeded in the last %d days", s, sure, total, healthyDays)
	}
}

// collateral is the share of healthy logins among what an entry would match,
// where volume events speak against it; 0 to 1.
func (h *Healthy) collateral(s control.Subject, volume int) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, _ := h.state.seen(rememberedAs(s))
	return float64(n) / float64(n+max(1, volume))
}

// rememberedAs is what a subject is remembered by; of a network, its block.
func rememberedAs(s control.Subject) (kind, value string) {
	if s.Kind == control.KindNetwork {
		if p, ok := s.Prefix(); ok {
			return kindBlock, blockOf(p.Addr()).String()
		}
	}
	return s.Kind, s.Value
}
