// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groupAnnotation is the annotation of a flag that holds the title it stands under in the help.
const groupAnnotation = "kubectl-velo.github.io/group"

// The titles, in the order that they have there. Flags without one come first.
const (
	groupRequest      = "Request"
	groupEnvironment  = "Environment and files"
	groupDependencies = "Dependencies"
	groupProxy        = "Traffic-proxy"
)

func flagGroups() []string {
	return []string{groupRequest, groupEnvironment, groupDependencies, groupProxy}
}

// inGroup shows flags under a title in the help.
func inGroup(flags *pflag.FlagSet, title string, names ...string) {
	for _, name := range names {
		_ = flags.SetAnnotation(name, groupAnnotation, []string{title}) // it is there
	}
}

// The groups that the commands are in.
const (
	commandsToWork = "work"
	commandsToLook = "look"
	commandsToKeep = "keep"
)

// groupCommands shows the commands in groups.
func groupCommands(root *cobra.Command) {
	root.AddGroup(
		&cobra.Group{ID: commandsToWork, Title: "Work on this machine:"},
		&cobra.Group{ID: commandsToLook, Title: "Look, and change nothing:"},
		&cobra.Group{ID: commandsToKeep, Title: "Keep it in order:"},
	)
	groups := map[string]string{
		"intercept": commandsToWork, "run": commandsToWork, "forward": commandsToWork,
		"env": commandsToLook, "deps": commandsToLook, "verify": commandsToLook, "status": commandsToLook,
		"version": commandsToLook,
	}
	for _, cmd := range root.Commands() {
		if !cmd.IsAvailableCommand() {
			continue // a topic
		}
		cmd.GroupID = commandsToKeep
		if group := groups[cmd.Name()]; group != "" {
			cmd.GroupID = group
		}
	}
	root.SetHelpCommandGroupID(commandsToKeep)
}

// newHelpCommand returns the one that explains commands and topics.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND | permissions | troubleshooting]",
		Short: "Explain a command, what rights it takes, or what to do when something is wrong",
		Long: "Explain a command, or a topic: permissions says which rights are needed and why, troubleshooting what to do " +
			"when something is wrong.\nIt asks nothing of the cluster.",
		Example: "  # What an intercept does, and its flags\n  kubectl velo help intercept\n\n" +
			"  # Which rights it takes, and why\n  kubectl velo help permissions\n\n" +
			"  # What to do when it doesn't do as it should\n  kubectl velo help troubleshooting",
		DisableFlagsInUseLine: true,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			var words []string
			for _, one := range cmd.Root().Commands() {
				if len(args) == 0 && (one.IsAvailableCommand() || one.IsAdditionalHelpTopicCommand()) {
					words = append(words, cobra.CompletionWithDesc(one.Name(), one.Short))
				}
			}
			return offered(words, toComplete)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			found, rest, err := root.Find(args)
			switch {
			case err != nil || found == root && len(args) > 0:
				return noSuchTopic(root, args[0])
			case len(rest) > 0:
				return usageErrorf("unexpected argument %q: one command or topic is explained at a time", rest[0])
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// noSuchCommand refuses the arguments of the root, and says which command may have been meant.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := usageErrorf("unknown command %q", args[0])
	if found := near(args[0], explained(cmd)); len(found) > 0 {
		return withHint(err, "did you mean 'kubectl velo %s'?", found[0])
	}
	return err
}

// noSuchTopic says which command or topic may have been meant.
func noSuchTopic(root *cobra.Command, name string) error {
	err := usageErrorf("there is no command or topic %q", name)
	if found := near(name, explained(root)); len(found) > 0 {
		return withHint(err, "did you mean 'kubectl velo help %s'?", found[0])
	}
	return withHint(err, "'kubectl velo --help' names them")
}

// explained are the names of what help can explain: commands and topics.
func explained(root *cobra.Command) []string {
	var names []string
	for _, one := range root.Commands() {
		if !one.Hidden {
			names = append(names, one.Name())
		}
	}
	return names
}

// writeHelp writes what a command does and how it is called, or a topic.
func writeHelp(w io.Writer, cmd *cobra.Command, width int) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	fmt.Fprint(w, wrapText(text, width))
	if cmd.Runnable() {
		fmt.Fprintln(w)
		usage(w, cmd, width)
	}
}

// usage writes how a command is called: its line, examples, commands and flags.
func usage(w io.Writer, cmd *cobra.Command, width int) {
	line := cmd.UseLine()
	if !cmd.HasParent() {
		line = cmd.CommandPath() + " [command]"
	}
	fmt.Fprintf(w, "Usage:\n%s\n", wrapUsage(line, "  ", width))
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", wrapExamples(cmd.Example, width))
	}
	if cmd.HasAvailableSubCommands() {
		usageOfCommands(w, cmd, width)
	}
	usageOfFlags(w, cmd, width)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nSee '%s [command] --help' for a command.\n", cmd.CommandPath())
	}
}

func usageOfCommands(w io.Writer, cmd *cobra.Command, width int) {
	list := func(padding int, name, short string) {
		name = fmt.Sprintf("  %-*s ", padding, name)
		fmt.Fprintln(w, name+wrapped(short, strings.Repeat(" ", len(name)), width))
	}
	for _, group := range cmd.Groups() {
		fmt.Fprintf(w, "\n%s\n", group.Title)
		for _, one := range cmd.Commands() {
			if one.GroupID == group.ID && !one.Hidden {
				list(cmd.NamePadding(), one.Name(), one.Short)
			}
		}
	}
	fmt.Fprintln(w, "\nTopics:")
	for _, one := range cmd.Commands() {
		if one.IsAdditionalHelpTopicCommand() {
			list(len("help troubleshooting"), "help "+one.Name(), one.Short)
		}
	}
}

// usageOfFlags writes a command's own flags in their groups. Of kubectl's, which every command takes, it names those that
// are used most; the root names them all.
func usageOfFlags(w io.Writer, cmd *cobra.Command, width int) {
	own := cmd.NonInheritedFlags()
	if !cmd.HasParent() {
		writeFlags(w, "Flags of kubectl, for every command:", own, width)
		return
	}
	byTitle := make(map[string]*pflag.FlagSet)
	add := func(title string, flag *pflag.Flag) {
		if byTitle[title] == nil {
			byTitle[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
		}
		byTitle[title].AddFlag(flag)
	}
	own.VisitAll(func(flag *pflag.Flag) {
		title := ""
		if group := flag.Annotations[groupAnnotation]; len(group) > 0 {
			title = group[0]
		}
		add(title, flag)
	})
	writeFlags(w, "Flags:", byTitle[""], width)
	for _, title := range flagGroups() {
		writeFlags(w, title+":", byTitle[title], width)
	}
	const kubectl = "Cluster ('kubectl velo --help' names all flags of kubectl that can be used):"
	for _, name := range []string{"context", "kubeconfig", "namespace"} {
		if flag := cmd.InheritedFlags().Lookup(name); flag != nil {
			add(kubectl, flag)
		}
	}
	writeFlags(w, kubectl, byTitle[kubectl], width)
}

func writeFlags(w io.Writer, title string, flags *pflag.FlagSet, width int) {
	if flags != nil && flags.HasAvailableFlags() {
		fmt.Fprintf(w, "\n%s\n%s", wrapped(title, "  ", width), flags.FlagUsagesWrapped(width))
	}
}

// flagError says what is wrong with a flag, and which one may have been meant.
func flagError(cmd *cobra.Command, err error) error {
	wrong := usageErrorf("%v", err)
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || unknown.GetSpecifiedShortnames() != "" {
		return wrong
	}
	name := unknown.GetSpecifiedName()
	if !cmd.HasParent() && slices.ContainsFunc(cmd.Commands(), func(one *cobra.Command) bool { return one.Name() == name }) {
		return withHint(wrong, "did you mean 'kubectl velo %s'?", name)
	}
	if near := nearFlags(cmd, name); len(near) > 0 {
		return withHint(wrong, "did you mean %s? See '%s --help'", strings.Join(near, " or "), cmd.CommandPath())
	}
	return wrong
}

// nearFlags names the flags that look like one that isn't there.
func nearFlags(cmd *cobra.Command, name string) []string {
	const shortest = 3 // in letters; shorter ones are near to everything
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden && len(flag.Name) >= shortest {
			names = append(names, flag.Name)
		}
	})
	const most = 3
	found := near(name, names)
	found = found[:min(len(found), most)]
	for i := range found {
		found[i] = "--" + found[i]
	}
	return found
}
