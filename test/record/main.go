// SPDX-License-Identifier: Apache-2.0

// Command record runs a command and writes what it prints, and when, as an asciicast: the text format, version 2, of
// https://docs.asciinema.org/manual/asciicast/v2/. What is written is what was printed, but for texts that are replaced
// because they name the machine that it was recorded on.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// The size of the terminal that a player shows.
const (
	columns = 132
	rows    = 36
)

// idleLimit is how many seconds a player waits at most when nothing is printed.
const idleLimit = 2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: "+err.Error())
		os.Exit(1)
	}
}

// run records the command of the arguments, and shows what it prints on out.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	path := flags.String("o", "", "`FILE` to write; it is written only if the command succeeds")
	title := flags.String("title", "", "the recording's title")
	var replacements []string
	flags.Func("replace", "`OLD=NEW`: write NEW where OLD was printed; may be repeated", func(value string) error {
		before, after, ok := strings.Cut(value, "=")
		if !ok || before == "" {
			return errors.New("want OLD=NEW")
		}
		replacements = append(replacements, before, after)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *path == "" || flags.NArg() == 0 {
		return errors.New("want -o FILE -- COMMAND")
	}
	cast, err := record(ctx, flags.Args(), *title, strings.NewReplacer(replacements...), out)
	if err != nil {
		return fmt.Errorf("recording %s: %w", flags.Arg(0), err)
	}
	return os.WriteFile(*path, []byte(cast), 0o644)
}

// header is the first line of an asciicast.
type header struct {
	Version   int     `json:"version"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	Title     string  `json:"title,omitempty"`
	IdleLimit float64 `json:"idle_time_limit"`
}

// record runs a command and returns the asciicast of what it prints, line by line, on stdout and stderr.
func record(ctx context.Context, command []string, title string, replacer *strings.Replacer, out io.Writer) (string, error) {
	var cast strings.Builder
	lines := json.NewEncoder(&cast)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(header{2, columns, rows, title, idleLimit}); err != nil {
		return "", err
	}
	reader, writer := io.Pipe()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = writer, writer
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return "", err
	}
	go func() { _ = writer.CloseWithError(cmd.Wait()) }() // nil is the end of what is read
	printed := bufio.NewReader(reader)
	for {
		line, err := printed.ReadString('\n')
		if line != "" {
			after := time.Since(began).Round(time.Millisecond).Seconds()
			text := replacer.Replace(strings.ReplaceAll(line, "\n", "\r\n"))
			if err := lines.Encode([]any{after, "o", text}); err != nil {
				return "", err
			}
			_, _ = io.WriteString(out, line) // shown for its viewer; the recording doesn't depend on it
		}
		switch {
		case errors.Is(err, io.EOF):
			return cast.String(), nil
		case err != nil:
			return "", err
		}
	}
}
