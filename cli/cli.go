// Package cli is shared by the commands of this project: safe output on terminals, explanations of invalid
// command lines, the --gateway flag, the version and exit codes. It has no command of its own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/spf13/cobra"
)

// Exit codes. A command may have more of its own.
const (
	CodeFailed      = 1
	CodeUsage       = 2   // an invalid command line: nothing was done
	CodeInterrupted = 128 // plus the number of the signal, as in shells
)

// An ExitError ends the process with a specific exit code.
type ExitError struct {
	Err  error // nil to print nothing
	Code int
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// interrupted is the cause of a context that a signal cancelled.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "interrupted" }

// Prepare sets up a root command. Call it after its subcommands were added.
func Prepare(root *cobra.Command) {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.PersistentFlags().Bool("raw", false, "print control characters unchanged, even on a terminal")
	root.SetFlagErrorFunc(explainFlag)
	root.SetUsageFunc(usage)
	explainUsage(root)
	SetOutput(root, os.Stdout, os.Stderr)
}

// SetOutput makes a command print to out and errOut, with control characters escaped on terminals.
func SetOutput(root *cobra.Command, out, errOut io.Writer) {
	raw := func() bool {
		raw, _ := root.PersistentFlags().GetBool("raw")
		return raw
	}
	root.SetOut(terminal.NewWriter(out, raw))
	root.SetErr(terminal.NewWriter(errOut, raw))
}

// Main runs a prepared command and exits the process.
func Main(root *cobra.Command) { os.Exit(run(root)) }

func run(root *cobra.Command) int {
	out, errOut := terminal.NewWriter(root.OutOrStdout(), nil), terminal.NewWriter(root.ErrOrStderr(), nil)
	log.SetOutput(errOut) // for packages that use the standard log
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals) // a second one ends the process at once
		cancel(interrupted{s.(syscall.Signal)})
	}()
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = await(ctx, root, ended)
	}
	_ = out.Flush()
	code, text := codeOf(ctx, err)
	if text != "" {
		_, _ = fmt.Fprintf(errOut, "%s: %s\n", root.Name(), text)
	}
	_ = errOut.Flush()
	return code
}

// grace is how long a command may run after a signal, unless it drains.
const grace = 2 * time.Second

// drains is the annotation of a command that finishes its work after a signal, however long that takes.
const drains = "drains"

// Drains marks a command that drains after a signal and then ends by itself.
func Drains(cmd *cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{drains: "true"}
	return cmd
}

// await waits for a command after a signal. It gives up after grace: an operation that ignores its context
// may hang, such as a read from an unavailable disk.
func await(ctx context.Context, root *cobra.Command, ended <-chan error) error {
	var tooLate <-chan time.Time
	if cmd, _, err := root.Find(os.Args[1:]); err != nil || cmd.Annotations[drains] == "" {
		tooLate = time.After(grace)
	}
	select {
	case err := <-ended:
		return err
	case <-tooLate:
		return ctx.Err()
	}
}

// codeOf returns the exit code for an error, and the message to print.
func codeOf(ctx context.Context, err error) (code int, text string) {
	if err == nil {
		return 0, ""
	}
	var stopped interrupted
	if errors.As(context.Cause(ctx), &stopped) && (errors.Is(err, context.Canceled) ||
		errors.As(err, &stopped)) {
		return CodeInterrupted + int(stopped.signal), stopped.Error()
	}
	var exit *ExitError
	if errors.As(err, &exit) {
		return exit.Code, err.Error()
	}
	return CodeFailed, err.Error()
}
