package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"portcullis/detections"
)

func newTune(std stdio) *cobra.Command {
	var f studyFlags
	var param, budget, write string
	cmd := &cobra.Command{
		Use:   "tune RULE FILE… [--budget 2/week]",
		Short: "Find the threshold that keeps an alert budget",
		Long: `Tune tries values of a rule's numeric parameters over events from files and shows
what each would have done: alerts, and the users and addresses they touch. It
says which value keeps the budget and is nearest to the one in force, and writes
it as the parameters of a tenant.

A history of a week says little about another; of less than a day, nothing.

Exit codes: 0 every parameter tried has a value that keeps the budget, 1 one has
none or the events cannot be read, 2 wrong usage.`,
		Example: `  portcullis tune credential-stuffing-ip events.jsonl.gz --budget 2/week
  portcullis tune credential-stuffing-ip january/*.jsonl --config portcullis.yaml --param failures --write patch.yaml`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage("tune needs a rule and the files to read")
			}
			perWeek, err := parseBudget(budget)
			if err != nil {
				return err
			}
			f.files = args[1:]
			s, _, _, err := newStudy(std, f)
			if err != nil {
				return err
			}
			params := []string{param}
			if write != "" && param == "" {
				return usage("--write needs --param: each parameter is tried alone, and one is written")
			}
			if param == "" {
				r := s.Rules.Rule(args[0])
				if r != nil {
					if params = r.NumericParams(); len(params) == 0 {
						return fmt.Errorf("rule %s has no numeric parameter: nothing to tune", args[0])
					}
				}
			}
			var found []*detections.Tuning
			for _, p := range params {
				t, err := s.Tune(cmd.Context(), args[0], p, perWeek)
				if err != nil {
					return err
				}
				found = append(found, t)
			}
			return printTunings(std, f, found, write)
		},
	}
	cmd.Flags().StringVar(&param, "param", "", "the `parameter` to try; every numeric one if absent")
	cmd.Flags().StringVar(&budget, "budget", "2/week", "`alerts` that people can look at: N/day, N/week or N/month")
	cmd.Flags().StringVar(&write, "write", "", "`file` for the parameters found, as they stand under a tenant in the configuration")
	f.add(cmd)
	return cmd
}

var budgetText = regexp.MustCompile(`^(\d+(?:\.\d+)?)/(day|week|month)$`)

// parseBudget reads alerts in a time as alerts a week.
func parseBudget(text string) (float64, error) {
	m := budgetText.FindStringSubmatch(text)
	if m == nil {
		return 0, usage("--budget %s: write N/day, N/week or N/month, for instance 2/week", text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, usage("--budget %s: %v", text, err)
	}
	return n * map[string]float64{"day": 7, "week": 1, "month": 7.0 / 30}[m[2]], nil
}

func printTunings(std stdio, f studyFlags, found []*detections.Tuning, write string) error {
	whole := true
	patch := map[string]map[string]any{}
	for _, t := range found {
		if f.output == "json" {
			if err := printJSON(std.out, t); err != nil {
				return err
			}
		} else if err := printTuning(std, t); err != nil {
			return err
		}
		if t.Choice == nil {
			whole = false
			continue
		}
		if len(found) == 1 { // each was tried alone: together they would do more
			patch[t.Rule] = map[string]any{t.Param: plainNumber(t.Choice.Value)}
		}
	}
	if len(found) > 1 && f.output == "text" {
		fmt.Fprintln(std.out, "\nEach parameter was tried alone. Choose one with --param to have it written.")
	}
	if err := writePatch(std, f, patch, write); err != nil {
		return err
	}
	if !whole {
		return failed()
	}
	return nil
}

// writePatch writes the parameters found as they stand under a tenant.
func writePatch(std stdio, f studyFlags, patch map[string]map[string]any, file string) error {
	if len(patch) == 0 {
		return nil
	}
	text, err := yaml.Marshal(map[string]any{"params": patch})
	if err != nil {
		return fmt.Errorf("write the parameters: %w", err)
	}
	if file == "" {
		if f.output == "text" {
			_, err = fmt.Fprintf(std.out, "\nUnder the tenant in the configuration:\n\n%s", text)
		}
		return err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return fmt.Errorf("write the parameters: %w", err)
	}
	fmt.Fprintf(std.err, "parameters written to %s: put them under the tenant in the configuration\n", file)
	return nil
}

// chartWidth is how many characters the longest bar takes, and mostChart where a
// terminal has room for more; beside it stand numbers of some numbersWidth.
const (
	chartWidth   = 24
	mostChart    = 80
	numbersWidth = 50
)

func barRoom(terminal int) int { return min(max(chartWidth, terminal-numbersWidth), mostChart) }

func printTuning(std stdio, t *detections.Tuning) error {
	out := newLines(std.out)
	out.print("%s, parameter %s: %s", t.Rule, t.Param, t.Doc)
	out.print("%.1f days of events, at most %s alerts a week", t.Days, shown(t.Budget))
	if t.Days < 1 {
		out.print("Less than a day of events: take what follows as a hint.")
	}
	if out.err != nil {
		return out.err
	}
	most := 1e-9
	for _, x := range t.Trials {
		most = max(most, x.PerWeek)
	}
	out.print("")
	table := newTable(std.out, column{}, column{head: "VALUE"}, column{head: "ALERTS"}, column{head: "A WEEK"}, column{head: "USERS"}, column{head: "ADDRESSES"}, column{})
	width := barRoom(table.width)
	for _, x := range t.Trials {
		mark := " "
		switch {
		case t.Choice != nil && x.Value == t.Choice.Value:
			mark = "→"
		case x.Value == t.InForce:
			mark = "="
		}
		bar := strings.Repeat("█", int(x.PerWeek/most*float64(width)+0.5))
		table.row(mark, shown(x.Value), strconv.Itoa(x.Alerts), fmt.Sprintf("%.1f", x.PerWeek), strconv.Itoa(x.Users), strconv.Itoa(x.Addresses), bar)
	}
	out.table(table)
	switch {
	case t.Choice == nil:
		out.print("\nNo value that was tried keeps the budget.")
	case t.Choice.Value == t.InForce:
		out.print("\n= %s, the value in force, keeps the budget.", shown(t.InForce))
	default:
		out.print("\n→ %s keeps the budget and is nearest to %s, the value in force.", shown(t.Choice.Value), shown(t.InForce))
	}
	return out.err
}

// plainNumber is a whole number as an int, so that it is written as one.
func plainNumber(v float64) any {
	if v == float64(int(v)) {
		return int(v)
	}
	return v
}
