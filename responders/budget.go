package responders

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"portcullis/responders/hold"
)

// Budget bounds how often one kind of thing may be attempted.
type Budget struct {
	Hour int // in any hour; 0 means no bound
	Day  int // in any 24 hours; 0 means no bound
}

// The kinds that budgets bound.
const (
	KindNetworkACLEntry = "network_acl_entry" // an entry of a network ACL
	KindSettingChange   = "setting_change"    // a hold on a setting
	KindBlockUser       = "block_user"        // a playbook that blocks a user
)

// DefaultBudgets hold where the configuration says nothing.
var DefaultBudgets = map[string]Budget{
	KindNetworkACLEntry: {Hour: 200, Day: 1000},
	KindSettingChange:   {Hour: 30, Day: 200},
	KindBlockUser:       {Hour: 20, Day: 100},
}

// networkACL is the control whose entries have a budget of their own.
const networkACL = "network-acl"

// kindOf is the budget that a hold counts against.
func kindOf(h *hold.Hold) string {
	if h.Control == networkACL {
		return KindNetworkACLEntry
	}
	return KindSettingChange
}

// warnAt is the share of a budget, in percent, at which people are told.
const warnAt = 80

// budgets counts attempts, durably: a restart does not refill them.
type budgets struct {
	limits map[string]Budget
	store  Store
	key    string             // where in the store
	spent  map[string][]int64 // Unix seconds of each attempt of the last day, by kind and mode
}

func loadBudgets(ctx context.Context, limits map[string]Budget, store Store) (*budgets, error) {
	return loadBudgetsAt(ctx, limits, store, "spent")
}

func loadBudgetsAt(ctx context.Context, limits map[string]Budget, store Store, key string) (*budgets, error) {
	b := &budgets{limits: limits, store: store, key: key, spent: map[string][]int64{}}
	data, ok, err := store.Get(ctx, key)
	if err == nil && ok {
		err = json.Unmarshal(data, &b.spent)
	}
	if err != nil {
		return nil, fmt.Errorf("load budgets: %w", err)
	}
	return b, nil
}

// take counts an attempt. why says that it may not be made; it is empty when it
// may. note, which people should be told, says that the budget is nearly used up;
// it comes with the attempt that makes it so. Attempts are counted by mode, so
// that a month of observing leaves the whole budget to the first hour of
// enforcing. The error means that the attempt could not be counted, so it may
// not be made either.
func (b *budgets) take(ctx context.Context, kind string, mode Mode, now time.Time) (why, note string, err error) {
	if why := b.usedUp(kind, mode, now); why != "" {
		return why, "", nil
	}
	limit := b.limit(kind)
	beforeHour, beforeDay := b.used(kind, mode, now)
	if err := b.count(ctx, kind, mode, now); err != nil {
		return "", "", err
	}
	for _, of := range []struct {
		used, limit int
		span        string
	}{{beforeHour + 1, limit.Hour, "hour"}, {beforeDay + 1, limit.Day, "day"}} {
		if of.limit > 1 && of.used*100 >= of.limit*warnAt && (of.used-1)*100 < of.limit*warnAt {
			return "", fmt.Sprintf("%d of the %d of %s for one %s are used", of.used, of.limit, kind, of.span), nil
		}
	}
	return "", "", nil
}

// usedUp says why no attempt may be made; "" when one may.
func (b *budgets) usedUp(kind string, mode Mode, now time.Time) string {
	limit := b.limit(kind)
	hour, day := b.used(kind, mode, now)
	switch {
	case limit.Hour > 0 && hour >= limit.Hour:
		return fmt.Sprintf("budget used up: the %d of %s for one hour", limit.Hour, kind)
	case limit.Day > 0 && day >= limit.Day:
		return fmt.Sprintf("budget used up: the %d of %s for one day", limit.Day, kind)
	}
	return ""
}

// count counts an attempt, whether or not the budget has room for it.
func (b *budgets) count(ctx context.Context, kind string, mode Mode, now time.Time) error {
	key := budgetKey(kind, mode)
	day := now.Add(-24 * time.Hour).Unix()
	spent := slices.DeleteFunc(slices.Clone(b.spent[key]), func(t int64) bool { return t <= day })
	b.spent[key] = append(spent, now.Unix())
	data, err := json.Marshal(b.spent)
	if err == nil {
		err = b.store.Put(ctx, b.key, data)
	}
	if err != nil {
		return fmt.Errorf("count against the budget of %s: %w", kind, err)
	}
	return nil
}

// used counts the attempts of the last hour and of the last day.
func (b *budgets) used(kind string, mode Mode, now time.Time) (hour, day int) {
	dayAgo, hourAgo := now.Add(-24*time.Hour).Unix(), now.Add(-time.Hour).Unix()
	for _, t := range b.spent[budgetKey(kind, mode)] {
		if t > dayAgo {
			day++
		}
		if t > hourAgo {
			hour++
		}
	}
	return hour, day
}

func (b *budgets) limit(kind string) Budget {
	if limit, ok := b.limits[kind]; ok {
		return limit
	}
	return DefaultBudgets[kind]
}

func budgetKey(kind string, mode Mode) string {
	if mode == Enforce {
		return kind
	}
	return kind + " " + string(mode)
}

// Purse bounds the attempts of one who is not the responder, durably and for itself.
// It may be used from several goroutines.
type Purse struct {
	mu sync.Mutex
	b  *budgets
}

// OpenPurse loads what was spent before. key is where it is kept in the store.
func OpenPurse(ctx context.Context, limits map[string]Budget, store Store, key string) (*Purse, error) {
	b, err := loadBudgetsAt(ctx, limits, store, key)
	return &Purse{b: b}, err
}

// Spend counts an attempt in enforce mode. why says that there is no room for it:
// then it is not counted, and may not be made without a person.
func (p *Purse) Spend(ctx context.Context, kind string, now time.Time) (why string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	why, _, err = p.b.take(ctx, kind, Enforce, now)
	return why, err
}
