package tenantsim

import (
	"maps"
	"net/http"
)

// Names of the settings under /api/v2/attack-protection.
const (
	botDetection      = "bot-detection"
	suspiciousIP      = "suspicious-ip-throttling"
	bruteForce        = "brute-force-protection"
	breachedPasswords = "breached-password-detection"
)

const allowlistMax = 100

var settingFields = map[string]fields{
	botDetection: {
		"bot_detection_level":             oneOf("low", "medium", "high"),
		"challenge_password_policy":       oneOf("never", "when_risky", "always"),
		"challenge_passwordless_policy":   oneOf("never", "when_risky", "always"),
		"challenge_password_reset_policy": oneOf("never", "when_risky", "always"),
		"allowlist":                       listOf(allowlistMax, isNetwork),
		"monitoring_mode_enabled":         isBool,
	},
	suspiciousIP: {
		"enabled":   isBool,
		"shields":   someOf("block", "admin_notification"),
		"allowlist": listOf(allowlistMax, isNetwork),
		"stage": fields{
			"pre-login":                 throttlingStage(2500, 34560),
			"pre-user-registration":     throttlingStage(72000, 1200),
			"pre-custom-token-exchange": throttlingStage(72000, 1),
		}.check,
	},
	bruteForce: {
		"enabled":      isBool,
		"shields":      someOf("block", "user_notification"),
		"mode":         oneOf("count_per_identifier_and_ip", "count_per_identifier"),
		"max_attempts": integer(1, 100),
		"allowlist":    listOf(allowlistMax, isNetwork),
	},
	breachedPasswords: {
		"enabled":                      isBool,
		"shields":                      someOf("block", "user_notification", "admin_notification"),
		"admin_notification_frequency": someOf("immediately", "daily", "weekly", "monthly"),
		"method":                       oneOf("standard", "enhanced"),
		"stage": fields{
			"pre-user-registration": fields{"shields": someOf("block", "admin_notification")}.check,
			"pre-change-password":   fields{"shields": someOf("block", "admin_notification")}.check,
		}.check,
	},
}

// settingSummaries are the descriptions of sapi events; that of bot detection is not known.
var settingSummaries = map[string]string{
	botDetection:      "Update Bot Detection settings",
	suspiciousIP:      "Update Suspicious IP Throttling settings",
	bruteForce:        "Update Brute-force settings",
	breachedPasswords: "Update Breached Password Detection settings",
}

// throttlingStage wants both numbers: whether one alone would keep the other is not documented.
func throttlingStage(mostAttempts, leastRate float64) check {
	f := fields{"max_attempts": integer(1, mostAttempts), "rate": integer(leastRate, 86_400_000)}
	return func(v any) string {
		if problem := f.check(v); problem != "" {
			return problem
		}
		if len(v.(map[string]any)) != len(f) {
			return "max_attempts and rate are both required"
		}
		return ""
	}
}

func initialSettings(throttling bool) map[string]map[string]any {
	return map[string]map[string]any{
		botDetection: {
			"bot_detection_level":             "medium",
			"challenge_password_policy":       "when_risky",
			"challenge_passwordless_policy":   "never",
			"challenge_password_reset_policy": "never",
			"allowlist":                       []any{},
			"monitoring_mode_enabled":         false,
		},
		suspiciousIP: {
			"enabled":   throttling,
			"shields":   []any{"block", "admin_notification"},
			"allowlist": []any{},
			"stage": map[string]any{
				"pre-login":                 map[string]any{"max_attempts": 100.0, "rate": 864_000.0},
				"pre-user-registration":     map[string]any{"max_attempts": 50.0, "rate": 1_728_000.0},
				"pre-custom-token-exchange": map[string]any{"max_attempts": 10.0, "rate": 600_000.0},
			},
		},
		bruteForce: {
			"enabled":      true,
			"shields":      []any{"block", "user_notification"},
			"mode":         "count_per_identifier_and_ip",
			"max_attempts": 10.0,
			"allowlist":    []any{},
		},
		breachedPasswords: {
			"enabled":                      true,
			"shields":                      []any{"admin_notification"},
			"admin_notification_frequency": []any{"daily"},
			"method":                       "standard",
			"stage": map[string]any{
				"pre-user-registration": map[string]any{"shields": []any{}},
				"pre-change-password":   map[string]any{"shields": []any{}},
			},
		},
	}
}

// getSettings returns a copy of one group of settings.
func (t *Tenant) getSettings(name string) (map[string]any, *apiError) {
	current, ok := t.settings[name]
	if !ok {
		return nil, notFound("Not Found")
	}
	if name == botDetection && t.opts.NoBotDetection {
		return nil, &apiError{status: http.StatusForbidden, message: "Bot detection is not part of the tenant's subscription"}
	}
	return cloneJSON(current), nil
}

// patchSettings merges body into one group of settings: at the top level, and stage by stage; lists are replaced.
func (t *Tenant) patchSettings(name string, body map[string]any) (map[string]any, *apiError) {
	next, problem := t.getSettings(name)
	if problem != nil {
		return nil, problem
	}
	if text := settingFields[name].check(body); text != "" {
		return nil, invalidBody("%s", text)
	}
	for k, v := range body {
		if old, ok := next[k].(map[string]any); ok {
			maps.Copy(old, cloneJSON(v.(map[string]any)))
			continue
		}
		next[k] = cloneAny(v)
	}
	t.settings[name] = next
	t.defences.configure(t.settings)
	return cloneJSON(next), nil
}

// BotDetection returns a copy of the present bot detection settings.
func (t *Tenant) BotDetection() map[string]any { return t.Settings(botDetection) }

// Settings returns a copy of the present settings under /attack-protection/{name}, or nil if there are none.
func (t *Tenant) Settings(name string) map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	return cloneJSON(t.settings[name])
}

func notFound(message string) *apiError {
	return &apiError{status: http.StatusNotFound, message: message}
}
