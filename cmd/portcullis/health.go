package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/config"
	"portcullis/logstream"
)

func newTenantCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "tenant",
		Short:   "Look at the guarded tenants",
		Example: "  portcullis tenant health --config portcullis.yaml",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q for portcullis tenant", args[0])
			}
			return usage("tenant needs a command: health")
		},
	}
	cmd.AddCommand(newHealth(std))
	return cmd
}

func newHealth(std stdio) *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use:   "health --config FILE",
		Short: "Say how well each tenant's log is seen",
		Long: `Health asks the running daemon, at the listener that the configuration names, how
well each tenant's log is seen: clear, degraded or blind, with the reasons.

Exit codes: 0 all clear, 1 one is degraded or blind or the daemon does not
answer, 2 wrong usage.`,
		Example: `  portcullis tenant health --config portcullis.yaml
  portcullis tenant health --config portcullis.yaml -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage("tenant health needs --config FILE")
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			var all []tenantHealth
			if err := askDaemon(cmd.Context(), cfg, "/v1/health", &all); err != nil {
				return err
			}
			return printHealth(std, output, all)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the daemon's `file`")
	addOutput(cmd, &output, "table", "json")
	return cmd
}

// askTimeout bounds how long the daemon may take: it may have to read its whole
// journal again.
const askTimeout = 80 * time.Second

// maxAnswer bounds what is read of an answer: a wave may have thousands of alerts.
const maxAnswer = 256 << 20

// askDaemon reads what the running daemon answers to a GET.
func askDaemon(ctx context.Context, cfg *config.Config, path string, into any) error {
	return callDaemon(ctx, cfg, http.MethodGet, path, nil, into)
}

// callDaemon sends a request to the running daemon and reads its answer.
func callDaemon(ctx context.Context, cfg *config.Config, method, path string, body []byte, into any) error {
	if cfg.HTTP == nil {
		return hint(errors.New("the configuration names no listener, so the daemon cannot be asked"),
			"add http: {listen: 127.0.0.1:8070, token_file: …} and restart the daemon")
	}
	token, err := cfg.AdminToken()
	if err != nil {
		return err
	}
	scheme := "http"
	if cfg.HTTP.CertFile != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("http.listen %q: %w", cfg.HTTP.Listen, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, scheme+"://"+net.JoinHostPort(host, port)+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return hint(fmt.Errorf("ask the daemon at %s: %w", cfg.HTTP.Listen, errors.Unwrap(err)), "is it running with this configuration?")
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusConflict {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return errors.New(strings.TrimSpace(string(why)))
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return fmt.Errorf("ask the daemon at %s: %s: %s", cfg.HTTP.Listen, resp.Status, strings.TrimSpace(string(body)))
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}

func printHealth(std stdio, output string, all []tenantHealth) error {
	clear := true
	t := newTable(std.out, column{"TENANT", cutting}, column{head: "SOURCE"}, column{head: "VERDICT"}, column{"SINCE", spare}, column{"LAST EVENT", spare},
		column{head: "LAG"}, column{"EVENTS/MIN", spare}, column{"USUAL", spare}, column{"WHY", cutting})
	for _, h := range all {
		clear = clear && h.Verdict == logstream.Clear
		if output == "json" {
			if err := printJSON(std.out, h); err != nil {
				return err
			}
			continue
		}
		for _, s := range h.Sources {
			why := s.Reasons
			if s.Note != "" {
				why = append(why, s.Note)
			}
			t.row(h.Tenant, s.Source, string(s.Verdict), moment(s.Since), moment(s.LastEvent), time.Duration(s.LagSeconds*float64(time.Second)).Round(time.Second).String(),
				fmt.Sprintf("%.0f", s.PerMinute), fmt.Sprintf("%.0f", s.Usual), printable(strings.Join(why, "; ")))
		}
	}
	if output == "table" {
		if err := t.print(); err != nil {
			return err
		}
	}
	if !clear {
		return failed()
	}
	return nil
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}
