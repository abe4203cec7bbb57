package logstream

import "sync/atomic"

// counters are the fields of [WebhookStats].
type counters struct {
	accepted, events, rejects                                atomic.Uint64
	method, token, size, rate, busy, decode, failed, aborted atomic.Uint64
}

func (c *counters) read() WebhookStats {
	return WebhookStats{
		Accepted: c.accepted.Load(), Events: c.events.Load(), Rejects: c.rejects.Load(),
		Method: c.method.Load(), Token: c.token.Load(), Size: c.size.Load(), Rate: c.rate.Load(), Busy: c.busy.Load(),
		Decode: c.decode.Load(), Failed: c.failed.Load(), Aborted: c.aborted.Load(),
	}
}
