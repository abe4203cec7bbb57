package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"portcullis/responders"
)

// orderFlags are those of the commands that tell the daemon to do something.
type orderFlags struct{ config, tenant, as, reason, output string }

func (f *orderFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "the daemon's `file`")
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "for this `tenant`")
	cmd.Flags().StringVar(&f.reason, "reason", "", "`why`, for the journal and the thread")
	cmd.Flags().StringVar(&f.as, "as", "", "your `name`, for the journal; the account's by default")
	addOutput(cmd, &f.output, "text", "json")
}

// actor is who gives the order.
func (f *orderFlags) actor() (string, error) {
	if f.as != "" {
		return f.as, nil
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username, nil
	}
	return "", usage("say who you are: --as NAME")
}

// giveAbout gives an order about one hold.
func (f *orderFlags) giveAbout(cmd *cobra.Command, std stdio, id string, o responders.Order) error {
	look := holdFlags{config: f.config, tenant: f.tenant}
	holds, err := look.read(cmd)
	if err != nil {
		return err
	}
	h, err := pick(holds, id)
	if err != nil {
		return err
	}
	o.Hold = h.ID
	return f.give(cmd, std, tenantOrder{h.Tenant, o})
}

// give gives an order and prints what was done.
func (f *orderFlags) give(cmd *cobra.Command, std stdio, o tenantOrder) error {
	if f.config == "" {
		return usage("%s needs --config FILE", cmd.CommandPath())
	}
	var err error
	if o.Actor, err = f.actor(); err != nil {
		return err
	}
	o.Reason = f.reason
	done, err := giveOrder(cmd.Context(), std, f.config, o)
	for _, d := range done {
		if f.output == "json" {
			err = errors.Join(err, printJSON(std.out, d))
			continue
		}
		for l := range strings.SplitSeq(d.Done, "\n") {
			fmt.Fprintf(std.out, "%s: %s\n", d.Tenant, printable(l))
		}
	}
	return err
}

// confirm asks a person on the terminal. Without one, --yes must have been said.
func confirm(std stdio, yes bool, question string) error {
	if yes {
		return nil
	}
	if in, ok := std.in.(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return usage("nobody can be asked here: say --yes to go on without")
	}
	fmt.Fprintf(std.err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(std.in).ReadString('\n')
	if err != nil || !strings.EqualFold(strings.TrimSpace(answer), "y") {
		return errors.New("nothing was done: it was not confirmed")
	}
	return nil
}
