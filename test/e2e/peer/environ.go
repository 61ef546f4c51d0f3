// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"strings"
)

// environ prints the environment of the process, as an object of names and values. The values are base64, as not all
// are text.
func environ(ctx context.Context, stdout io.Writer, args []string) error {
	flags := flag.NewFlagSet("environ", flag.ExitOnError)
	stay := flags.Bool("stay", false, "go on until told to end")
	_ = flags.Parse(args) // it exits
	variables := make(map[string][]byte)
	for _, one := range os.Environ() {
		name, value, _ := strings.Cut(one, "=")
		variables[name] = []byte(value)
	}
	if err := json.NewEncoder(stdout).Encode(variables); err != nil {
		return err
	}
	if *stay {
		<-ctx.Done()
	}
	return nil
}
