package responders

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Budget bounds how often one kind of thing may be attempted.
type Budget struct {
	Hour int // in any hour; 0 means no bound
	Day  int // in any 24 hours; 0 means no bound
}

// The kinds that budgets bound.
const (
	KindNetworkACLEntry = "network_acl_entry" // an address denied
	KindSettingChange   = "setting_change"    // a hold on a setting
)

// DefaultBudgets hold where the configuration says nothing.
var DefaultBudgets = map[string]Budget{
	KindNetworkACLEntry: {Hour: 200, Day: 1000},
	KindSettingChange:   {Hour: 30, Day: 200},
}

// budgets counts attempts, durably: a restart does not refill them.
type budgets struct {
	limits map[string]Budget
	store  Store
	spent  map[string][]int64 // Unix seconds of each attempt of the last day, by kind
}

func loadBudgets(ctx context.Context, limits map[string]Budget, store Store) (*budgets, error) {
	b := &budgets{limits: limits, store: store, spent: map[string][]int64{}}
	data, ok, err := store.Get(ctx, "spent")
	if err == nil && ok {
		err = json.Unmarshal(data, &b.spent)
	}
	if err != nil {
		return nil, fmt.Errorf("load budgets: %w", err)
	}
	return b, nil
}

// take counts an attempt. why says that it may not be made; it is empty when it
// may. Attempts are counted by mode, so that a month of observing leaves the
// whole budget to the first hour of enforcing. The error means that the attempt
// could not be counted, so it may not be made either.
func (b *budgets) take(ctx context.Context, kind string, mode Mode, now time.Time) (why string, err error) {
	limit, ok := b.limits[kind]
	if !ok {
		limit = DefaultBudgets[kind]
	}
	key := kind
	if mode != Enforce {
		key += " " + string(mode)
	}
	day, hour := now.Add(-24*time.Hour).Unix(), now.Add(-time.Hour).Unix()
	spent := slices.DeleteFunc(slices.Clone(b.spent[key]), func(t int64) bool { return t <= day })
	inHour := 0
	for _, t := range spent {
		if t > hour {
			inHour++
		}
	}
	switch {
	case limit.Hour > 0 && inHour >= limit.Hour:
		return fmt.Sprintf("budget used up: the %d of %s for one hour", limit.Hour, kind), nil
	case limit.Day > 0 && len(spent) >= limit.Day:
		return fmt.Sprintf("budget used up: the %d of %s for one day", limit.Day, kind), nil
	}
	b.spent[key] = append(spent, now.Unix())
	data, err := json.Marshal(b.spent)
	if err == nil {
		err = b.store.Put(ctx, "spent", data)
	}
	if err != nil {
		return "", fmt.Errorf("count against the budget of %s: %w", kind, err)
	}
	return "", nil
}
