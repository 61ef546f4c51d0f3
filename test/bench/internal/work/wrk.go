// SPDX-License-Identifier: Apache-2.0

package work

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// wrkArgs are wrk's, for a number of connections.
func wrkArgs(c Caller, connections int, d time.Duration, header string) []string {
	args := []string{
		"-t2", "-c" + strconv.Itoa(connections), fmt.Sprintf("-d%ds", d.Round(time.Second)/time.Second),
		"--latency", "--timeout", "30s",
	}
	if c.Host != "" {
		args = append(args, "-H", "Host: "+c.Host)
	}
	if header != "" {
		args = append(args, "-H", header)
	}
	return args
}

var (
	wrkRate      = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)$`)
	wrkPercent   = regexp.MustCompile(`(?m)^\s+(50|99)%\s+(\S+)\s*$`)
	wrkErrors    = regexp.MustCompile(`(?m)^\s+Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)$`)
	wrkUnwelcome = regexp.MustCompile(`(?m)^\s+Non-2xx or 3xx responses: (\d+)$`)

	errWrk = errors.New("wrk has not said what it should")
)

// parseWrk reads what wrk prints. It prints no rate of zero, but leaves things out.
func parseWrk(out string) (Sample, error) {
	s := Sample{Figures: map[string]float64{}}
	rate := wrkRate.FindStringSubmatch(out)
	if rate == nil {
		return s, fmt.Errorf("%w: no rate in %q", errWrk, out)
	}
	value, err := strconv.ParseFloat(rate[1], 64)
	if err != nil {
		return s, fmt.Errorf("%w: %w", errWrk, err)
	}
	if value == 0 {
		return s, fmt.Errorf("%w: no request was answered", errWrk)
	}
	s.Figures[Rate] = value
	for _, m := range wrkPercent.FindAllStringSubmatch(out, -1) {
		latency, err := parseWrkTime(m[2])
		if err != nil {
			return s, err
		}
		s.Figures[map[string]string{"50": P50, "99": P99}[m[1]]] = latency
	}
	if len(s.Figures) != 3 {
		return s, fmt.Errorf("%w: no percentiles in %q", errWrk, out)
	}
	for _, pattern := range []*regexp.Regexp{wrkErrors, wrkUnwelcome} {
		m := pattern.FindStringSubmatch(out)
		for i := 1; i < len(m); i++ {
			n, err := strconv.Atoi(m[i])
			if err != nil {
				return s, fmt.Errorf("%w: %w", errWrk, err)
			}
			s.Errors += n
		}
	}
	return s, nil
}

// parseWrkTime reads a time as wrk writes it, into seconds: 1.23us, 4.56ms, 7.89s, 1.02m, 1.02h.
func parseWrkTime(s string) (float64, error) {
	for _, unit := range []struct {
		suffix string
		factor float64
	}{{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}} {
		if number, ok := strings.CutSuffix(s, unit.suffix); ok {
			value, err := strconv.ParseFloat(number, 64)
			if err != nil {
				return 0, fmt.Errorf("%w: a time of %q", errWrk, s)
			}
			return value * unit.factor, nil
		}
	}
	return 0, fmt.Errorf("%w: a time of %q", errWrk, s)
}
