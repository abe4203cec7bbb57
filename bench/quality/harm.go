package main

import (
	"fmt"
	"net/netip"
	"sort"
	"time"
)

// harm is a response that would have touched somebody who is no attacker.
type harm struct {
	during string // attack or story
	action
	who string // an example
}

func (h *harm) String() string {
	return fmt.Sprintf("%s: %s, %s on %s from %s: %s", h.during, h.rule, h.control, h.subject, h.from.Format("Mon 15:04"), h.who)
}

// bystanders are the people who are no attackers, by the addresses they use.
type bystanders struct {
	times   map[string][]time.Time // when an address was used
	victims map[string]bool        // users whom the attacker has to do with
}

func newBystanders() *bystanders {
	return &bystanders{times: map[string][]time.Time{}, victims: map[string]bool{}}
}

// add takes in events that follow those so far.
func (b *bystanders) add(events []event) {
	for i := range events {
		switch e := &events[i]; {
		case e.Hostile && e.UserID != "":
			b.victims[e.UserID] = true
		case !e.Hostile:
			b.times[e.IP] = append(b.times[e.IP], e.At)
		}
	}
}

// touched tells whom an action that is aimed at somebody touches beside the
// attacker: "" for nobody. What is done for the whole tenant is counted apart.
func (b *bystanders) touched(a *action) string {
	if a.subject == "" {
		return ""
	}
	network, err := netip.ParsePrefix(a.subject)
	if ip, e := netip.ParseAddr(a.subject); e == nil {
		network, err = netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	if err != nil {
		if b.victims[a.subject] {
			return ""
		}
		return "the user is no victim"
	}
	if network.IsSingleIP() {
		return b.using(network.Addr().String(), a)
	}
	for ip := range b.times {
		if at, err := netip.ParseAddr(ip); err == nil && network.Contains(at) {
			if who := b.using(ip, a); who != "" {
				return who
			}
		}
	}
	return ""
}

// using tells when somebody else uses an address while an action lasts.
func (b *bystanders) using(ip string, a *action) string {
	times := b.times[ip]
	i := sort.Search(len(times), func(i int) bool { return !times[i].Before(a.from) })
	if i == len(times) || times[i].After(a.until) {
		return ""
	}
	return fmt.Sprintf("somebody uses %s at %s", ip, times[i].Format("15:04:05"))
}
