package slack

import (
	"strings"

	slackapi "github.com/slack-go/slack"
)

// fallbackSize bounds the notification text. With it, everything in a message
// stays near 10,000 characters; Slack refuses some above 13,000.
const fallbackSize = 2500

// blocks lays a report out for Slack.
func (v view) blocks() []slackapi.Block {
	happened := []string{v.happened.mrkdwn()}
	for _, n := range v.notes {
		happened = append(happened, n.mrkdwn())
	}
	var facts []*slackapi.TextBlockObject
	for _, f := range v.facts {
		facts = append(facts, mrkdwn("*"+f.name+"*\n"+f.value.mrkdwn()))
	}
	return []slackapi.Block{
		slackapi.NewHeaderBlock(plainText(v.header)),
		slackapi.NewSectionBlock(mrkdwn(strings.Join(happened, "\n")), nil, nil),
		slackapi.NewSectionBlock(nil, facts, nil),
		slackapi.NewSectionBlock(mrkdwn("*"+v.did.title+"*\n"+v.did.fit(line.mrkdwn)), nil, nil),
		slackapi.NewSectionBlock(mrkdwn("*"+v.didNot.title+"*\n"+v.didNot.fit(line.mrkdwn)), nil, nil),
		slackapi.NewContextBlock("", mrkdwn(v.ids.mrkdwn())),
	}
}

// fallback is the text of a message for notifications and screen readers,
// escaped.
func (v view) fallback() string {
	const rest = "\n(more in the message)"
	text := v.text()
	if size(text) <= fallbackSize {
		return escape(text)
	}
	var b strings.Builder
	used := size(rest)
	for l := range strings.Lines(text) {
		if used += size(l); used > fallbackSize {
			break
		}
		b.WriteString(l)
	}
	return escape(strings.TrimRight(b.String(), "\n") + rest)
}

// mrkdwn renders a line with its values in code spans, where nothing is
// interpreted, and its other text without formatting characters.
func (l line) mrkdwn() string {
	var b strings.Builder
	for _, s := range l {
		if s.value {
			b.WriteString("`" + escape(strings.ReplaceAll(s.text, "`", "'")) + "`")
		} else {
			b.WriteString(escape(unformatted.Replace(s.text)))
		}
	}
	return b.String()
}

// unformatted swaps what Slack formats by for look-alikes. The underscore stays:
// names have it, and a stray one makes nothing worse than italics.
var unformatted = strings.NewReplacer("`", "'", "*", "∗", "~", "∼")

// mrkdwn makes a text object whose URLs, channel names and mentions are left
// as they are ("verbatim").
func mrkdwn(escaped string) *slackapi.TextBlockObject {
	return slackapi.NewTextBlockObject(slackapi.MarkdownType, escaped, false, true)
}

func plainText(s string) *slackapi.TextBlockObject {
	return slackapi.NewTextBlockObject(slackapi.PlainTextType, escape(s), false, false)
}
