// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/line"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/way"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// options are the command line's.
type options struct {
	quick            bool
	only, work       []string
	rtt, loss        []float64
	rounds           int
	duration, limit  time.Duration
	transfer         int64
	rate             float64
	seed             uint64
	otherPlugins     []string
	json, out, from  string
	profile          string
	clusterNet       string
	changed          func(flag string) bool
	command          string // for those who want to do the same
	plugins          []way.Plugin
	lines            []plannedLine
	plannedWays      []string
	plannedWorkNames []string
}

// A plannedLine is a line with what is to be done over it.
type plannedLine struct {
	spec  line.Spec
	sizes work.Sizes
	works []work.Work
}

func (p plannedLine) name() string { return result.LineName(p.spec.RTT, p.spec.Loss) }

const long = `Measure kubectl velo beside the direct way and kubectl port-forward, on the cluster of test/cluster.

Every way does the same work, in turn, over the same line: a cable, or an emulated line with a delay and a loss of
packets. Each figure is shown beside the direct one and kubectl's of the same run.

Ways:   %s
Work:   %s

A quick run measures what has a target and no more, in less time: short runs, small transfers, no Ingress. Options say
otherwise.`

func (o *options) newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure kubectl velo beside the direct way and kubectl port-forward",
		Long: fmt.Sprintf(long, strings.Join(wayNames(way.All([]way.Plugin{{}})), ", "),
			strings.Join(workNames(work.All()), ", ")),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: %q is not known; see bench --help", errUsage, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.from != "" {
				return o.show(cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			o.changed, o.command = cmd.Flags().Changed, commandLine(cmd.Flags())
			if err := o.complete(); err != nil {
				return err
			}
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.quick, "quick", false, "measure what has a target, and that in short: under 5 minutes in all")
	flags.StringSliceVar(&o.only, "only", nil, "ways to measure (default all)")
	flags.StringSliceVar(&o.work, "work", nil, "work to do (default all)")
	flags.Float64SliceVar(&o.rtt, "rtt", []float64{0, 20, 180},
		"round-trip times in ms; 0 is a cable, on which nothing is lost")
	flags.Float64SliceVar(&o.loss, "loss", []float64{0, 1}, "losses in % of the packets of each direction")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds, each of every work through every way")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long wrk runs, in whole seconds")
	flags.Int64Var(&o.transfer, "transfer", 200, "MiB of a transfer")
	flags.DurationVar(&o.limit, "limit", 45*time.Second, "how long a transfer goes on at most; what has come until then counts")
	flags.Float64Var(&o.rate, "rate", 0,
		"bandwidth of an emulated line in Mbit/s each way, with a queue of 100 ms (default without limit)")
	flags.Uint64Var(&o.seed, "seed", 1, "chooses which packets are lost")
	flags.StringArrayVar(&o.otherPlugins, "plugin", nil,
		"another build of kubectl-velo, `[NAME=]PATH[,IMAGE]`, to measure beside the one in PATH, and its "+
			"traffic-proxy's image; may be repeated")
	flags.StringVar(&o.json, "json", "", "file to write every sample to")
	flags.StringVar(&o.out, "out", "", "directory to write benchmarks.md and benchmarks.svg to")
	flags.StringVar(&o.from, "from", "", "show what an earlier run has written with --json, and measure nothing")
	flags.StringVar(&o.profile, "profile", "",
		"directory to write to which processes used the processors, work by work, and profiles of the benchmark's own, "+
			"and of builds of plugin and traffic-proxy with the tag profile")
	flags.StringVar(&o.clusterNet, "cluster-net", "/run/velo-cluster/net", "network namespace of the cluster")
	flags.Lookup("rtt").DefValue, flags.Lookup("loss").DefValue = "0,20,180", "0,1"
	return cmd
}

const (
	mebi = 1 << 20
	// quickTime is what no round of a quick run is to go beyond, but for the first over each line.
	quickTime = 4*time.Minute + 45*time.Second
)

// complete checks the options and plans the lines.
func (o *options) complete() error {
	path, err := exec.LookPath("kubectl-velo")
	if err != nil {
		return &hintError{fmt.Errorf("looking for the plugin: %w", err), "run 'make build', and put bin into PATH"}
	}
	o.plugins = []way.Plugin{{Path: path}}
	for _, s := range o.otherPlugins {
		p, err := way.ParsePlugin(s)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		o.plugins = append(o.plugins, p)
	}
	if o.plannedWays, err = choose("way", wayNames(way.All(o.plugins)), o.only); err != nil {
		return err
	}
	if o.quick && !o.changed("only") {
		o.plannedWays = slices.DeleteFunc(o.plannedWays, func(name string) bool { return name == way.Ingress })
	}
	if o.plannedWorkNames, err = choose("work", workNames(work.All()), o.work); err != nil {
		return err
	}
	if o.rounds < 1 || o.duration < time.Second || o.transfer < 1 || o.rate < 0 {
		return fmt.Errorf("%w: --rounds and --transfer are at least 1, --duration at least 1s, --rate not negative",
			errUsage)
	}
	for _, rtt := range o.rtt {
		for _, loss := range o.loss {
			if rtt < 0 || loss < 0 || loss >= 100 {
				return fmt.Errorf("%w: there is no line with RTT %v ms and %v %% loss", errUsage, rtt, loss)
			}
			if rtt > 0 || loss == 0 {
				o.lines = append(o.lines, o.planLine(time.Duration(rtt*float64(time.Millisecond)), loss/100))
			}
		}
	}
	if o.quick && !o.changed("rtt") && !o.changed("loss") {
		o.lines = slices.DeleteFunc(o.lines, func(p plannedLine) bool { return len(targeted(p.spec)) == 0 })
	}
	if len(o.lines) == 0 {
		return fmt.Errorf("%w: no line is left: nothing is lost on a cable", errUsage)
	}
	return nil
}

func (o *options) planLine(rtt time.Duration, loss float64) plannedLine {
	p := plannedLine{spec: line.Spec{RTT: rtt, Loss: loss, Seed: o.seed}, sizes: o.sizes(rtt == 0, loss > 0)}
	if rtt > 0 {
		p.spec.Rate = int64(o.rate * 1e6 / 8)
		p.spec.Queue = p.spec.Rate / 10 // 100 ms
	}
	names := o.plannedWorkNames
	if with := targeted(p.spec); o.quick && !o.changed("work") && len(with) > 0 {
		names = with
	}
	for _, w := range work.All() {
		// Memory doesn't depend on the line.
		if slices.Contains(names, w.Name) && (w.Name != work.Idle || rtt == 0 || o.changed("work")) {
			p.works = append(p.works, w)
		}
	}
	return p
}

// targeted names the works that have a target over a line.
func targeted(spec line.Spec) []string {
	var names []string
	for _, t := range result.Targets() {
		if t.RTT == spec.RTT && t.Loss == spec.Loss {
			names = append(names, t.Work)
		}
	}
	return names
}

func (o *options) sizes(cable, lossy bool) work.Sizes {
	s := work.Sizes{
		Wrk: o.duration, Transfer: o.transfer * mebi, Each: o.transfer * mebi, Limit: o.limit,
		Probe: 5 * time.Second, Fresh: 15, Idle: 10000,
	}
	if !o.quick {
		return s
	}
	s.Probe, s.Fresh, s.Idle = 1200*time.Millisecond, 3, 500
	if !o.changed("limit") {
		s.Limit = 10 * time.Second
	}
	if !o.changed("duration") {
		s.Wrk = 2 * time.Second
		if lossy {
			s.Wrk = 3 * time.Second // what few requests meet with takes more of them
		}
	}
	if !o.changed("transfer") {
		// On a long line it takes so much to leave slow start behind; a cable is quicker.
		s.Transfer, s.Each = 24*mebi, 12*mebi
		if cable {
			s.Transfer, s.Each = 128*mebi, 64*mebi
		}
	}
	return s
}

// commandLine is what was asked for, without where on this machine anything is.
func commandLine(flags *pflag.FlagSet) string {
	command := "bench"
	flags.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "json", "out", "profile", "cluster-net", "plugin":
		case "quick":
			command += " --quick"
		default:
			parts := strings.Split(strings.Trim(f.Value.String(), "[]"), ",")
			for i, part := range parts {
				if n, err := strconv.ParseFloat(part, 64); err == nil {
					parts[i] = strconv.FormatFloat(n, 'f', -1, 64) // pflag has six decimals of it
				}
			}
			command += " --" + f.Name + " " + strings.Join(parts, ",")
		}
	})
	return command
}

func wayNames(ways []way.Way) []string {
	names := make([]string, 0, len(ways))
	for _, w := range ways {
		names = append(names, w.Name)
	}
	return names
}

func workNames(works []work.Work) []string {
	names := make([]string, 0, len(works))
	for _, w := range works {
		names = append(names, w.Name)
	}
	return names
}

// choose returns those of all that are wanted, in the order there is; without any wanted, all.
func choose(what string, all, wanted []string) ([]string, error) {
	for _, name := range wanted {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%w: there is no %s %q, but %s", errUsage, what, name, strings.Join(all, ", "))
		}
	}
	if len(wanted) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(name string) bool { return !slices.Contains(wanted, name) }), nil
}
