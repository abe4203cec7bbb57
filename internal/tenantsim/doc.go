// Package tenantsim is a simulated Auth0 tenant: a Management API over HTTP with real state, calm traffic, and
// scripted attackers who feel the defences. Tests, the demo and the simulate command run against it.
//
// # Time
//
// The tenant lives in virtual time. [Tenant.Advance] moves the clock by hand; [Tenant.Run] moves it at Options.Speed
// virtual seconds per real second. Everything in the log (dates, log ids, retention, indexing lag, the ten minutes of
// acls_summary) is virtual. What a client of the API measures on its own clock (token lifetime, rate limit, fault
// latency) is real. The traffic is a discrete-event simulation, so it depends on the seed and the virtual time reached,
// not on how Advance was cut into steps. Calm traffic and each attack draw from random streams of their own: what a
// defence does to an attack does not change the calm users' behaviour.
//
// # What is modelled
//
//   - POST /oauth/token (client credentials with a secret, HTTP Basic or body, form or JSON).
//   - GET /api/v2/logs in checkpoint and in search mode, GET /api/v2/logs/{id}.
//   - GET /api/v2/log-streams and /api/v2/log-streams/{id}: what SetLogStreams put there.
//   - GET and PATCH of /api/v2/attack-protection/{bot-detection, suspicious-ip-throttling, brute-force-protection,
//     breached-password-detection}.
//   - GET and PUT of /api/v2/guardian/policies (a bare list), GET /guardian/factors and PUT of each factor.
//   - GET /api/v2/connections and PATCH of one: options are replaced as a whole, a display name that is left out becomes
//     the name, and without read:connections_options the options are not shown.
//   - /api/v2/network-acls: list, create, get, replace, patch, delete.
//   - /api/v2/actions: Actions (list, create, get, patch, delete, deploy, versions), triggers, and the bindings of a
//     trigger. No Action runs: attempts do not feel them. A build, and after the 202 a deployment, is done some reads of
//     the Action later (Options.ActionReads), so that nobody waits for a clock.
//   - Users and what is done to them: read, by e-mail, search, PATCH, delete; sessions and refresh tokens (lists, delete,
//     revoke, revoke-access, bulk revocation); authentication methods, enrollments, authenticators, providers, remembered
//     browsers, risk state; identities; brute-force blocks; grants and device credentials; password-change tickets, reset
//     mails (POST /dbconnections/change_password), verification mails; the rotation of a client's secret.
//   - The rate limit, the sapi event of each successful write, acls_summary, api_limit, and [Fault]s.
//
// Where Auth0's behaviour is not documented the strictest or most awkward reading is simulated, so that code which
// works here does not rest on luck: take without from is a 400; half a throttling stage is a 400; a network ACL rule
// with neither match nor not_match matches every request; a rule of scope tenant or management that matches the API
// caller locks the caller out with a 403, and one of scope tenant or authentication does the same to /oauth/token.
// Names of Actions are unique (409); a secret must come with its value; a PATCH of bindings replaces the whole flow, and one
// that is named by its Action gets a new id; an Action that is not deployed cannot be bound, one that is not built not
// deployed, and one that is bound goes live with its deployment at once.
// The body of a created ACL is empty, as the API's description declares. The descriptions of sapi events for bot
// detection, network ACLs and Actions are invented: match on method and path.
//
// # Users
//
// Calm users are accounts like others: they have sessions and refresh tokens, and feel a block, a revocation, and their
// deletion. Tests add users of other connections with [Tenant.AddUser] and make things happen with Login, LoginWith,
// LoginByPasskey, BeginLogin, Refresh, FailLogins, AddFactor, ChangeEmail, LinkOwn, RequestReset, ResetPassword; an
// administrator acts by HumanBlocks, HumanUnblocks, Unlink, DeleteUser and HumanRequest; [Tenant.Account] tells how an account
// really is. [AccountTakeover] does what an attacker does.
//
// Again the most awkward reading:
//
//   - What is answered by 202 happens after Options.RevokeLag, or after Options.RevokeReads reads of the user's list; until
//     then sessions and tokens are listed and work. A login that was under way at a block makes its session afterwards.
//   - A block ends nothing. It stops logins and refreshes, and a refused login moves last_login and logins_count. A user who
//     never was blocked has no member blocked.
//   - A password by PATCH lifts the block, and nothing but that sapi tells it. A password by link leaves the block
//     (Options.ResetUnblocks), the sessions and the refresh tokens, and lifts brute-force blocks.
//   - A passkey signs in without a password, so a new password keeps nobody out who enrolled one.
//   - A new ticket or reset mail makes the one before worthless, whoever asked for it.
//   - An unlinked identity is a new user without block and metadata. Deleting a user deletes the linked identities.
//   - Deleting a grant ends the refresh tokens of its application at once, deleting a device credential the one that it is;
//     sessions stay. Every login makes a grant, also with a first-party application.
//   - The path of a sapi event has ids as they were sent, escaped.
//   - change_password answers the same whether there is such an account or not, and whether a mail went out or not. Its limit
//     is in real time, per address and e-mail. The link is on the custom domain only if the request came to it.
//   - A search finds at once what was changed; Auth0's is eventual.
//
// # How an attempt fares
//
// Each simulated login or SMS attempt passes, in this order:
//
//  1. Network ACLs of scope authentication or tenant, by ascending priority; the first rule without log that matches
//     decides. A blocked attempt leaves no event, only a count in acls_summary (and in [Stats] as Denied).
//
//  2. Suspicious IP throttling, when enabled with the block shield: a bucket of max_attempts failures per address and
//     one attempt given back every rate milliseconds. A throttled attempt is Throttled and logs limit_mu, at most once
//     an hour per address. It starts disabled (Options.SuspiciousIPThrottling starts it enabled), so that attacks run
//     until somebody reacts. Enabled without the block shield it only logs. Calm users are not throttled.
//
//  3. Bot detection, by this table of the chance that an automated attempt is challenged:
//
//     policy never, or monitoring mode on   0
//     policy when_risky                     low 0.20, medium 0.50, high 0.85
//     policy always                         0.97
//
//     A bot solves 2 % of its challenges. A challenged and unsolved attempt logs pla with requiresVerification true and
//     nothing else. With never or monitoring, pla is logged with the verdict of the when_risky row and the attempt
//     goes on. Addresses on the allowlist are never challenged. The password flow follows
//     challenge_password_policy, SMS challenge_passwordless_policy. Humans pass every challenge; their verdict is
//     always false, and one calm login in ten logs it.
//
//  4. Brute force protection, when enabled: failures per account and address (or per account, by mode). From
//     max_attempts failures on, limit_wc is logged; with the block shield the attempt ends there (Throttled). A success
//     clears the count, and so does a higher threshold.
//
//  5. The password. Attackers' valid passwords come from a leak, half of them known to breached password detection:
//     pwd_leak is then logged, at most once an hour per address, and with the block shield the login fails.
//
// # Left out
//
// Auth0's own limit of ten MFA messages per user and hour is not applied, so that SMS bombing can be shown. No Action runs,
// so none lifts a block after a password change; organizations, back-channel logout and online refresh tokens are not
// modelled. Changes of log streams and delivery by them, private_key_jwt and custom-domain API hosts are not served: they answer
// 404 (or 401 for an assertion). Calm addresses are in 198.18.0.0/15; attackers use 192.0.2.0/24 and 198.51.100.0/24;
// administrators 203.0.113.0/24.
//
// By construction a calm tenant never shows more than eight user names in failed logins from one address, nor more than five
// gd_send_sms for one user in an hour.
package tenantsim
