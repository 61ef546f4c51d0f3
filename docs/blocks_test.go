// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The marks of command blocks, after the language of their fence.
const (
	// isRun says that this test runs the block, and that what the block shows is printed.
	isRun = "run"
	// needsCluster says that the block needs a cluster of one's own.
	needsCluster = "needs-cluster"
	// needsMachine says that the block needs a Linux machine of one's own, with root, where a cluster may come up.
	needsMachine = "needs-machine"
	// needsTools says that the block builds or installs programs on one's own machine.
	needsTools = "needs-tools"
)

// block is a fenced block of commands.
type block struct {
	where    string // page and line
	console  bool   // commands begin with $, the rest is what they print
	mark     string
	lines    []string
	commands []string
}

var (
	commandLanguages = []string{"sh", "console", "bash", "shell", "zsh", "fish", "powershell"}
	looksLikeCommand = regexp.MustCompile(`^ {4,}(\$ |(kubectl|make|go|git|curl|export|docker|helm|sudo|brew|apt-get|PORT=\S+) )`)
)

// Each block of commands has a mark that says whether it is run here, or what it needs; blocks of another form have no
// commands in them.
func TestCommandBlocks(t *testing.T) {
	found := make(map[string]int)
	for _, p := range pages(t) {
		for _, b := range commandBlocks(t, p) {
			found[b.mark]++
			if b.mark == isRun {
				t.Run(b.where, b.run)
			}
		}
	}
	t.Logf("blocks by their marks: %v", found)
	if found[isRun] == 0 || found[needsCluster] == 0 {
		t.Error("no blocks were found that are run, or none that need a cluster")
	}
}

// commandBlocks returns the blocks of commands of a page.
func commandBlocks(t *testing.T, p page) []*block {
	t.Helper()
	var all []*block
	var within *block
	fenced := false
	for i, line := range strings.Split(p.text, "\n") {
		where := fmt.Sprintf("%s:%d", p.path, i+1)
		info, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && fenced:
			fenced = false
			if within != nil {
				within.readCommands()
				all = append(all, within)
			}
			within = nil
		case isFence:
			fenced = true
			within = beginBlock(t, where, strings.Fields(info))
		case within != nil:
			within.lines = append(within.lines, line)
		case !fenced && looksLikeCommand.MatchString(line):
			t.Errorf("%s: commands are written between fences that say what they need: %q", where, line)
		}
	}
	if fenced {
		t.Errorf("%s: a block has no end", p.path)
	}
	return all
}

func beginBlock(t *testing.T, where string, info []string) *block {
	t.Helper()
	switch {
	case len(info) == 0:
		t.Errorf("%s: the block doesn't say its language", where)
		return nil
	case !slices.Contains(commandLanguages, info[0]):
		return nil
	case len(info) != 2 || !slices.Contains([]string{isRun, needsCluster, needsMachine, needsTools}, info[1]):
		t.Errorf("%s: the block of commands isn't marked as %s, %s, %s or %s", where, isRun, needsCluster, needsMachine, needsTools)
		return nil
	}
	return &block{where: where, console: info[0] == "console", mark: info[1]}
}

// readCommands joins lines that go on in the next one.
func (b *block) readCommands() {
	command, goesOn := "", false
	for _, line := range b.lines {
		if b.console && !goesOn {
			after, isCommand := strings.CutPrefix(line, "$ ")
			if !isCommand {
				continue
			}
			line = after
		}
		line, goesOn = strings.CutSuffix(line, "\\")
		command += strings.TrimLeft(line, " ")
		if !goesOn && command != "" {
			b.commands = append(b.commands, command)
			command = ""
		}
	}
}

// run runs the commands as a shell does, with this program as the plugin, and without a cluster. What the block shows has to
// be printed; a line of … stands for any lines.
func (b *block) run(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash here")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bash, "-euo", "pipefail", "-c", strings.Join(b.commands, "\n"))
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PATH="+pluginPath(t)+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+t.TempDir(),
		"KUBECONFIG="+filepath.Join(t.TempDir(), "none"), "KUBERNETES_MASTER=http://127.0.0.1:1", "NO_COLOR=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	if want := b.shown(); b.console && !want.Match(out) {
		t.Errorf("it prints\n%s\nwhich doesn't match\n%s", out, want)
	}
}

// shown is what the block says is printed.
func (b *block) shown() *regexp.Regexp {
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	for _, line := range b.lines {
		switch {
		case strings.HasPrefix(line, "$ "):
		case strings.TrimSpace(line) == "…":
			pattern.WriteString(`(?:.*\n)*?`)
		default:
			pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `\n`)
		}
	}
	pattern.WriteString(`\z`)
	return regexp.MustCompile(pattern.String())
}

// pluginPath makes a directory with a kubectl that knows nothing but this plugin.
func pluginPath(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\n[ \"$1\" = velo ] || { echo \"no cluster: kubectl $*\" >&2; exit 1; }\nshift\nexport " + asPlugin + "=1\nexec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

var inlineCommand = regexp.MustCompile("`(kubectl\\s+velo[^`]*)`")

// Each call of kubectl velo that a page shows, in a block or within a sentence, is one that the commands would take: its
// command, flags and arguments are there.
func TestCallsAreTaken(t *testing.T) {
	calls := 0
	for _, p := range pages(t) {
		for _, b := range commandBlocks(t, p) {
			for _, command := range b.commands {
				for _, call := range veloCalls(command) {
					calls++
					checkCall(t, b.where, call, true)
				}
			}
		}
		for paragraph := range strings.SplitSeq(outsideFences(p.text), "\n\n") {
			for _, inline := range inlineCommand.FindAllStringSubmatch(paragraph, -1) {
				calls++
				checkCall(t, p.path, strings.Join(strings.Fields(inline[1]), " "), false)
			}
		}
	}
	t.Logf("calls of kubectl velo: %d", calls)
	if calls < 20 {
		t.Errorf("only %d calls were found", calls)
	}
}

// outsideFences returns a page without its fenced blocks.
func outsideFences(text string) string {
	var b strings.Builder
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		} else if !fenced {
			b.WriteString(line)
		}
	}
	return b.String()
}

var separators = regexp.MustCompile(`\s*(?:\|\||&&|[|;&])\s+|\s+&\s*$|\s+#.*$`)

// veloCalls returns the calls of kubectl velo in a command line. What follows their -- is another program's.
func veloCalls(line string) []string {
	var calls []string
	if before, _, ours := strings.Cut(line, " -- "); ours {
		line = before + " -- COMMAND"
	}
	for _, part := range separators.Split(line, -1) {
		before, call, found := strings.Cut(part, "kubectl velo ")
		if !found {
			continue
		}
		if strings.HasSuffix(before, "$(") {
			call, _, _ = strings.Cut(call, ")")
		}
		calls = append(calls, "kubectl velo "+call)
	}
	return calls
}

// checkCall has the commands read a call. A synopsis, and a mention of no more than a command's name, are no whole calls.
func checkCall(t *testing.T, where, call string, whole bool) {
	t.Helper()
	call, _, _ = strings.Cut(call, " #")
	words := shellWords(call)
	synopsis := slices.IndexFunc(words, func(word string) bool { return strings.ContainsAny(word, "[]()<>…|") || word == "TYPE/NAME" })
	if synopsis >= 0 {
		words, whole = words[:synopsis], false
	}
	root := newRoot(t)
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(words[2:])
	if err != nil || len(words) > 2 && cmd == root && !strings.HasPrefix(words[2], "-") {
		t.Errorf("%s: %s: there is no such command", where, call)
		return
	}
	cmd.InitDefaultHelpFlag()
	if last := len(rest) - 1; !whole && last >= 0 && strings.HasPrefix(rest[last], "--") {
		// A flag that is named without a value, or with a placeholder for one.
		if name, _, _ := strings.Cut(rest[last][2:], "="); cmd.Flag(name) == nil && name != "help" {
			t.Errorf("%s: %s: there is no flag --%s", where, call, name)
		}
		rest = rest[:last]
	}
	if slices.Contains(rest, "--help") {
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%s: %s: %v", where, call, err)
		return
	}
	if whole || synopsis < 0 && cmd.Flags().NArg() > 0 {
		if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
			t.Errorf("%s: %s: %v", where, call, err)
		}
	}
}

// shellWords splits as a shell does where there are spaces and quotes only.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	begun, quote := false, rune(0)
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun = c, true
		case quote == 0 && c == ' ':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}
