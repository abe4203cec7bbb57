package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in the scripts")

// parallelTests is how many tests run at a time unless -parallel says so: most
// of what they do is wait for a daemon.
const parallelTests = "8"

// TestMain lets scripts run this test binary as portcullis.
func TestMain(m *testing.M) {
	if _, child := os.LookupEnv(childEnv); child {
		os.Exit(m.Run()) // a daemon that gets killed must leave nothing behind
	}
	if err := flag.Set("test.parallel", parallelTests); err != nil {
		panic(err) // the flag is package testing's
	}
	testscript.Main(m, map[string]func(){"portcullis": main})
}

// TestScripts runs the scripts, which drive the commands as people do. Beside
// testscript's own commands they have those of scriptCommands.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "testdata", "script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                scriptCommands,
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, errors.New("unknown condition " + cond)
		},
		Setup: func(env *testscript.Env) error {
			state := &scriptState{processes: map[string]*process{}, environ: env.Vars}
			env.Values[scriptKey{}] = state
			env.Defer(state.close)
			return nil
		},
	})
}

var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits":     cmdExits,
	"start":     cmdStart,
	"signal":    cmdSignal,
	"finish":    cmdFinish,
	"waitfor":   cmdWaitFor,
	"tenant":    cmdTenant,
	"inject":    cmdInject,
	"acl":       cmdACL,
	"writes":    cmdWrites,
	"nobody":    cmdNobody,
	"busy":      cmdBusy,
	"generate":  cmdGenerate,
	"shuffle":   cmdShuffle,
	"wrap":      cmdWrap,
	"envelopes": cmdEnvelopes,
	"post":      cmdPost,
	"get":       cmdGet,
	"gzip":      cmdGzip,
	"truncate":  cmdTruncate,
	"fill":      cmdFill,
	"unread":    cmdUnreadable,
}

type scriptKey struct{}

// scriptState is what one script has started.
type scriptState struct {
	environ   []string
	processes map[string]*process
	tenant    *scriptTenant
	closers   []func()
}

func stateOf(ts *testscript.TestScript) *scriptState {
	s, ok := ts.Value(scriptKey{}).(*scriptState)
	if !ok {
		ts.Fatalf("the script has no state")
	}
	return s
}

func (s *scriptState) close() {
	for _, p := range s.processes {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	for _, c := range s.closers {
		c()
	}
}

func needArgs(ts *testscript.TestScript, neg bool, args []string, least int, use string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", use)
	}
}

// cmdExits runs a command in the foreground and compares its exit code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 2, "exits CODE COMMAND [ARG…]")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, expected %d", got, want)
	}
}

// process is one that a script runs in the background.
type process struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	output [2]*os.File
}

// cmdStart starts a command in the background, its output in NAME.out and
// NAME.err. Each use of a name begins with empty files.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 2, "start NAME [VARIABLE=VALUE…] COMMAND [ARG…]")
	s, name, set := stateOf(ts), args[0], []string{}
	for len(args) > 2 && strings.Contains(args[1], "=") {
		set, args = append(set, args[1]), args[1:]
	}
	if s.processes[name] != nil {
		ts.Fatalf("%s runs already", name)
	}
	p := &process{done: make(chan struct{})}
	p.cmd = exec.Command(lookPath(ts, args[1]), args[2:]...)
	p.cmd.Args[0] = args[1]
	p.cmd.Dir = ts.MkAbs(".")
	for _, kv := range s.environ {
		key, _, _ := strings.Cut(kv, "=")
		p.cmd.Env = append(p.cmd.Env, key+"="+ts.Getenv(key))
	}
	p.cmd.Env = append(p.cmd.Env, set...)
	for i, suffix := range []string{".out", ".err"} {
		f, err := os.Create(ts.MkAbs(name + suffix))
		ts.Check(err)
		p.output[i] = f
	}
	p.cmd.Stdout, p.cmd.Stderr = p.output[0], p.output[1]
	ts.Check(p.cmd.Start())
	s.processes[name] = p
	go func() {
		_ = p.cmd.Wait() // finish looks at the state
		for _, f := range p.output {
			f.Close()
		}
		close(p.done)
	}()
}

// cmdFill writes a file with the script's variables filled in.
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 2, "fill FROM TO")
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

func lookPath(ts *testscript.TestScript, command string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		file := filepath.Join(dir, command+ts.Getenv("exe"))
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	ts.Fatalf("no command %s", command)
	return ""
}

func (s *scriptState) process(ts *testscript.TestScript, name string) *process {
	p := s.processes[name]
	if p == nil {
		ts.Fatalf("no process %s was started", name)
	}
	return p
}

// cmdSignal sends INT, TERM or HUP to a process that start began.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 2, "signal INT|TERM|HUP|KILL NAME")
	sig, ok := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": os.Kill}[args[0]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[0])
	}
	ts.Check(stateOf(ts).process(ts, args[1]).cmd.Process.Signal(sig))
}

// patience is how long a script waits for what must come.
const patience = 20 * time.Second

// cmdFinish waits until a process ends by itself and compares its exit code.
func cmdFinish(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 2, "finish NAME CODE")
	s := stateOf(ts)
	p := s.process(ts, args[0])
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s has not ended after %s\n%s", args[0], patience, ts.ReadFile(args[0]+".err"))
	}
	delete(s.processes, args[0])
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("%s: exit code %d, expected %d\n%s", args[0], got, want, ts.ReadFile(args[0]+".err"))
	}
}

// cmdWaitFor waits until a file has text that matches, and gives up at once when
// the process that writes it has ended. The first group of the expression goes
// into the variable, if one is named.
func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 2, "waitfor FILE REGEXP [VARIABLE]")
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ended := false
	for end := time.Now().Add(patience); ; <-tick.C {
		if p := stateOf(ts).processes[strings.TrimSuffix(args[0], filepath.Ext(args[0]))]; p != nil {
			select {
			case <-p.done:
				ended = true
			default:
			}
		}
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			ts.Check(err)
		}
		if m := re.FindSubmatch(data); m != nil {
			if len(args) > 2 {
				ts.Setenv(args[2], string(m[1]))
			}
			return
		}
		if ended || time.Now().After(end) {
			ts.Fatalf("%s never had a match of %s:\n%s", args[0], args[1], data)
		}
	}
}

// cmdUnreadable makes a file that cannot be read although it is there: without
// permission or, for root, whom permissions do not stop, one of the kernel's
// that fails on the first byte.
func cmdUnreadable(ts *testscript.TestScript, neg bool, args []string) {
	needArgs(ts, neg, args, 1, "unread FILE")
	file := ts.MkAbs(args[0])
	if os.Geteuid() == 0 {
		if runtime.GOOS != "linux" {
			ts.Fatalf("root can read everything here")
		}
		ts.Check(os.Symlink("/proc/self/mem", file))
		return
	}
	ts.Check(os.WriteFile(file, []byte("{}\n"), 0o000))
}

// syncFile is a log that several goroutines write to.
type syncFile struct {
	mu sync.Mutex
	f  *os.File
}

func (s *syncFile) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.f.WriteString(strings.TrimRight(text, "\n") + "\n")
}

func readLines(ts *testscript.TestScript, file string) [][]byte {
	data, err := os.ReadFile(ts.MkAbs(file))
	ts.Check(err)
	return bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}
