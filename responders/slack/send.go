package slack

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	slackapi "github.com/slack-go/slack"
)

const (
	requestTimeout = 15 * time.Second
	storeTimeout   = 5 * time.Second

	// eventType marks our root messages in Slack, with the incident's id.
	eventType = "portcullis_incident"
)

// send delivers j and returns what is known of the incident's message
// afterwards, whether or not there was an error.
func (s *Slack) send(ctx context.Context, j job) (root, error) {
	if j.reply != nil {
		return j.root, s.sendReply(ctx, j)
	}
	r := s.recall(ctx, j)
	r.tried = time.Now()
	v := look(j.report)
	bs, text := v.blocks(), v.fallback()
	raw, err := json.Marshal(bs)
	if err != nil {
		return r, fmt.Errorf("lay out incident %s for slack: %w", j.id, err)
	}
	digest := sha256.Sum256(append(raw, text...))
	if r.ref.TS != "" && r.shown == digest {
		return r, nil
	}
	options := slackapi.MsgOptionCompose(
		slackapi.MsgOptionBlocks(bs...),
		inert(text),
		slackapi.MsgOptionMetadata(slackapi.SlackMetadata{
			EventType:    eventType,
			EventPayload: map[string]any{"incident_id": j.id},
		}))

	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if r.ref.TS != "" {
		_, _, _, err := s.client.UpdateMessageContext(ctx, r.ref.Channel, r.ref.TS, options)
		if err == nil {
			r.shown = digest
			return s.save(ctx, j.id, r), nil
		}
		if !isGone(err) {
			return r, fmt.Errorf("update the slack message of incident %s: %w", j.id, err)
		}
		r.ref, r.saved = Ref{}, false
	}
	channel, ts, err := s.client.PostMessageContext(ctx, s.channel, options)
	if err == nil && (channel == "" || ts == "") {
		err = errNoID
	}
	if err != nil {
		return r, fmt.Errorf("post incident %s to slack: %w", j.id, err)
	}
	r.ref, r.saved, r.shown = Ref{Channel: channel, TS: ts}, false, digest
	return s.save(ctx, j.id, r), nil
}

func (s *Slack) sendReply(ctx context.Context, j job) error {
	text := clean(j.reply.text, transitionSize)
	if text == "" {
		return nil
	}
	options := []slackapi.MsgOption{
		slackapi.MsgOptionTS(j.root.ref.TS),
		slackapi.MsgOptionBlocks(slackapi.NewSectionBlock(plainText(text), nil, nil)),
		inert(escape(text)),
	}
	if j.reply.broadcast {
		options = append(options, slackapi.MsgOptionBroadcast())
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, _, err := s.client.PostMessageContext(ctx, j.root.ref.Channel, options...); err != nil {
		return fmt.Errorf("post a transition of incident %s to slack: %w", j.id, err)
	}
	return nil
}

// inert is a message's text with everything turned off that Slack would make
// of it: previews, markup, links, names.
func inert(escaped string) slackapi.MsgOption {
	return slackapi.MsgOptionCompose(
		slackapi.MsgOptionText(escaped, false),
		slackapi.MsgOptionDisableLinkUnfurl(),
		slackapi.MsgOptionDisableMediaUnfurl(),
		slackapi.MsgOptionDisableMarkdown(),
		slackapi.MsgOptionParse(false))
}

// recall asks the store, once, for the message of an incident that this process
// has not shown yet.
func (s *Slack) recall(ctx context.Context, j job) root {
	r := j.root
	if r.asked || r.ref.TS != "" || s.store == nil {
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ref, ok, err := s.store.Load(ctx, j.id)
	switch {
	case err != nil:
		s.logger.Error("the store does not say which slack message shows an incident; posting a new one", "incident", j.id, "err", s.scrub(err))
	case ok && ref.Channel != "" && ref.TS != "":
		r.ref, r.saved = ref, true
	}
	r.asked = true
	return r
}

// save tells the store which message shows an incident. The message is there
// even if that fails, so the error is only logged and the next update tries
// again. A crash between post and save costs a second message after the restart.
func (s *Slack) save(ctx context.Context, id string, r root) root {
	if r.saved || s.store == nil {
		return r
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := s.store.Save(ctx, id, r.ref); err != nil {
		s.logger.Error("the store does not take which slack message shows an incident; a restart would post a second one", "incident", id, "err", s.scrub(err))
		return r
	}
	r.saved = true
	return r
}

// errNoID is an answer without the message's id, which Slack never gives.
var errNoID = errors.New("the answer does not name the message")

// code is Slack's own word for an error, or "".
func code(err error) string {
	var e slackapi.SlackErrorResponse
	if errors.As(err, &e) {
		return e.Err
	}
	return ""
}

// isGone tells whether the message that was to be changed or answered is no
// longer there.
func isGone(err error) bool {
	switch code(err) {
	case "message_not_found", "thread_not_found":
		return true
	}
	return false
}

// isTransient tells whether the same request may work later with nobody doing
// anything. An answer that cannot be read is not: the message may well be
// there, and each new attempt would add one.
func isTransient(err error) bool {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	if errors.Is(err, errNoID) || errors.As(err, &syntax) || errors.As(err, &mismatch) {
		return false
	}
	switch code(err) {
	case "", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "rate_limited", "team_added_to_org":
		return true
	}
	return false
}

// editsOff is Slack's word for a workspace that forbids changing messages.
const editsOff = "edit_window_closed"

// hint says what a person can do about an error of Slack's.
func hint(err error) string {
	switch c := code(err); c {
	case "channel_not_found":
		return "check the name of slack.channel; a private channel is found only after the bot was invited to it"
	case "not_in_channel":
		return "invite the bot to the channel with /invite"
	case "is_archived":
		return "unarchive the channel or name another one in slack.channel"
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired":
		return "issue a new bot token for the Slack app and put it where slack.bot_token_env or its file says"
	case "missing_scope":
		return "give the Slack app the scope chat:write and install it again"
	case "restricted_action", "restricted_action_read_only_channel", "no_permission", "access_denied":
		return "allow the app to post in the channel"
	case editsOff:
		return "allow editing of messages in the workspace settings; until then transitions still go to the thread"
	case "cant_update_message":
		return "the message was posted by another app; the next report posts a new one"
	case "":
		return "check for a proxy between this host and Slack that changes answers"
	}
	return "look the error code up in Slack's reference of chat.postMessage"
}

// refusesChannel tells whether an error concerns the channel a message was in, so that
// the next one is better posted to the configured channel, which may be another.
func refusesChannel(err error) bool {
	switch code(err) {
	case "channel_not_found", "not_in_channel", "is_archived", "cant_update_message":
		return true
	}
	return false
}

// scrub makes an error fit to be logged: on one line and without the token,
// whoever put it there.
func (s *Slack) scrub(err error) string {
	return cut(visible(s.secrets.Replace(err.Error())), 500)
}
