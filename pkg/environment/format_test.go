// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/joho/godotenv"
	"sigs.k8s.io/yaml"
)

// awkward are values that some format is likely to get wrong.
func awkward() []string {
	return []string{
		"", " ", "plain", "two words", " led and trailed ", "\ttab\t", "line\nbreak", "\n", "trailing\n", "a\n\nb\n#c\nD=e",
		"cr\rin", "cr at the end\r", "crlf\r\nin", "\r\n", "crlf and quote's\r\n", "$HOME", "${HOME}", "$(id)", "$$", "a$", "\\$HOME", "`id`",
		"it's", "''", "'", "'quoted'", `"`, `""`, `"quoted"`, `say "it's"`, `"it's"`, `"it's" so`, `it's "`,
		`\`, `\\`, `a\`, `it's\`, `\n`, `\\n`, `\'`, `\"`, `it's \" $A ` + "\\`!", `it's\$A\`, "it's \\", "\"it's\\", " it's\\",
		"#no comment", "a #no comment", "it's #no comment\\", "=", "a=b", "A=b\nC=d", "!", "!!", "a!b", "export A=b", ": yaml", "- yaml", "null", "true", "1e3", "~", "0x1F", "{}", "[]", "|\n  a",
		"ünïcödé ☃ 𝄞", "\u00a0nbsp\u00a0", "it's nbsp\u00a0\\", "\u0085", "\u2028", "\ufeff", "\ufffd", "\x01\x1b\x7f", "%s", "*", "~/x", "a;b|c&d<e>f(g)",
		`{"json": "it's \"so\""}`, "postgres://u:p%40$@db:5432/x?sslmode=require#f", strings.Repeat("long'", 2000),
		"-----BEGIN KEY-----\nMIIB\n-----END KEY-----\n",
	}
}

// readers are the real readers of the formats, or what their documentation says that they do.
func readers() map[Format]func([]byte) (map[string]string, error) {
	return map[Format]func([]byte) (map[string]string, error){
		Dotenv: func(text []byte) (map[string]string, error) { return godotenv.Parse(bytes.NewReader(text)) },
		Docker: readDocker,
		JSON: func(text []byte) (map[string]string, error) {
			var all map[string]string
			err := json.Unmarshal(text, &all)
			return all, err
		},
		YAML: func(text []byte) (map[string]string, error) {
			var all map[string]string
			err := yaml.UnmarshalStrict(text, &all)
			return all, err
		},
	}
}

// readDocker reads as docker run --env-file does: lines of UTF-8, without space before them, blank ones, comments, and
// a byte order mark; a name without space up to the first =, and the value, as it is, up to the line's end. A name
// without = takes its value from docker's own environment, which here has none.
func readDocker(text []byte) (map[string]string, error) {
	all := map[string]string{}
	scanner := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	for scanner.Scan() {
		line := strings.TrimLeftFunc(scanner.Text(), unicode.IsSpace)
		if !utf8.ValidString(line) {
			return nil, fmt.Errorf("not UTF-8: %q", line)
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("not a name: %q", name)
		}
		if ok {
			all[name] = value
		}
	}
	return all, scanner.Err()
}

func write(t *testing.T, format Format, all []Variable) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, format, all); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// holds divides values into one that a format takes, as variables, and those that it refuses.
func holds(t *testing.T, format Format, values []string) (taken []Variable, refused []string) {
	t.Helper()
	for i, value := range values {
		one := Variable{Name: fmt.Sprintf("V_%d", i), Value: value}
		err := Write(&bytes.Buffer{}, format, []Variable{one})
		if err == nil {
			taken = append(taken, one)
			continue
		}
		if _, ok := errors.AsType[*RefusedError](err); !ok || !strings.Contains(err.Error(), one.Name) {
			t.Errorf("%s, %q: %v, want a RefusedError that names %s", format, value, err, one.Name)
		}
		refused = append(refused, value)
	}
	return taken, refused
}

func asMap(all []Variable) map[string]string {
	m := map[string]string{}
	for _, one := range all {
		m[one.Name] = one.Value
	}
	return m
}

func TestFormatsRoundTrip(t *testing.T) {
	for format, read := range readers() {
		t.Run(string(format), func(t *testing.T) {
			taken, _ := holds(t, format, awkward())
			text := write(t, format, taken)
			got, err := read(text)
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			for name, want := range asMap(taken) {
				if got[name] != want {
					t.Errorf("%s: %q was read as %q", name, want, got[name])
				}
			}
			if len(got) != len(taken) {
				t.Errorf("read %d variables of %d", len(got), len(taken))
			}
		})
	}
}

func TestShellRoundTrip(t *testing.T) {
	taken, refused := holds(t, Shell, append(awkward(), "not UTF-8: \xff\xfe"))
	if len(refused) > 0 {
		t.Fatalf("refused %q", refused)
	}
	file := filepath.Join(t.TempDir(), "env.sh")
	if err := WriteFile(file, Shell, taken); err != nil {
		t.Fatal(err)
	}
	for _, shell := range [][]string{{"sh", "-eu"}, {"dash"}, {"bash"}, {"bash", "--posix", "-eu"}} {
		t.Run(strings.Join(shell, " "), func(t *testing.T) {
			if _, err := exec.LookPath(shell[0]); err != nil {
				t.Skip(err)
			}
			sourced(t, shell, file, asMap(taken))
		})
	}
}

// Values in single quotes are what a shell takes them for, too.
func TestDotenvIsMostlyShell(t *testing.T) {
	var quoted []Variable
	taken, _ := holds(t, Dotenv, awkward())
	for _, one := range taken {
		if !strings.Contains(one.Value, "'") && !strings.HasSuffix(one.Value, `\`) && !strings.Contains(one.Value, "\r\n") {
			quoted = append(quoted, one)
		}
	}
	if len(quoted) < len(taken)/2 {
		t.Fatalf("only %d of %d", len(quoted), len(taken))
	}
	file := filepath.Join(t.TempDir(), ".env")
	if err := WriteFile(file, Dotenv, quoted); err != nil {
		t.Fatal(err)
	}
	sourced(t, []string{"sh", "-a"}, file, asMap(quoted))
}

// sourced has a shell source a file and checks what its children get.
func sourced(t *testing.T, shell []string, file string, want map[string]string) {
	t.Helper()
	env, err := exec.LookPath("env")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), shell[0], append(shell[1:], "-c", `. "$0"; exec "$1" -0`, file, env)...)
	cmd.Env = []string{"HOME=/wrong"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %s", err, &stderr)
	}
	got := map[string]string{}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		got[name] = value
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %q was read as %q", name, value, got[name])
		}
	}
}

// Every value a format refuses is one that it has to: the list is short, and known.
func TestFormatsRefuseValues(t *testing.T) {
	values := append(awkward(), "nul\x00", "not UTF-8: \xff\xfe", strings.Repeat("x", bufio.MaxScanTokenSize-len("V_00=")))
	tests := map[Format][]string{
		Dotenv: {`"it's"`, "\"it's\\", " it's\\", "it's #no comment\\", "nul\x00", "not UTF-8: \xff\xfe"},
		Shell:  {"nul\x00"},
		JSON:   {"nul\x00", "not UTF-8: \xff\xfe"},
		YAML:   {"nul\x00", "not UTF-8: \xff\xfe"},
		Docker: slices.DeleteFunc(slices.Clone(values), func(v string) bool {
			return !strings.Contains(v, "\n") && !strings.HasSuffix(v, "\r") && utf8.ValidString(v) && !strings.Contains(v, "\x00") && len(v) < 60000
		}),
	}
	for format, want := range tests {
		t.Run(string(format), func(t *testing.T) {
			_, got := holds(t, format, values)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("refused %q\nwant    %q", got, want)
			}
		})
	}
}

func TestFormatsRefuseNames(t *testing.T) {
	tests := []struct {
		name    string
		refuses []Format
	}{
		{"PLAIN_1", nil},
		{"lower", nil},
		{"export", nil},
		{"app.properties", []Format{Shell}},
		{"app-name", []Format{Shell, Dotenv}},
		{"1ST", []Format{Shell}},
		{"A B", []Format{Shell, Dotenv, Docker}},
		{"#A", []Format{Shell, Dotenv, Docker}},
		{"A:B", []Format{Shell, Dotenv}},
		{"A/B", []Format{Shell, Dotenv}},
		{`A"B'`, []Format{Shell, Dotenv}},
		{"no", nil},
		{"~", []Format{Shell, Dotenv}},
		{"UID", []Format{Shell}},
		{"RANDOM", []Format{Shell}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all := []Variable{{Name: tt.name, Value: "x y"}, {Name: "NEXT", Value: "z"}}
			for _, format := range Formats() {
				var out bytes.Buffer
				err := Write(&out, format, all)
				if slices.Contains(tt.refuses, format) {
					refused, ok := errors.AsType[*RefusedError](err)
					if !ok || len(refused.Refused) != 1 || refused.Refused[0].Name != tt.name {
						t.Errorf("%s: %v, want a RefusedError for %s", format, err, tt.name)
					}
					if out.Len() > 0 {
						t.Errorf("%s: wrote %q and refused", format, &out)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", format, err)
					continue
				}
				if read, ok := readers()[format]; ok {
					if got, err := read(out.Bytes()); err != nil || !maps.Equal(got, asMap(all)) {
						t.Errorf("%s: %q was read as %q, %v", format, &out, got, err)
					}
				}
			}
		})
	}
}

func TestRefusedError(t *testing.T) {
	err := Write(&bytes.Buffer{}, Docker, []Variable{{Name: "A", Value: "secret\nvalue"}, {Name: "B"}, {Name: "C", Value: "other\nvalue"}})
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || len(refused.Refused) != 2 {
		t.Fatalf("Write: %v, want a RefusedError for two", err)
	}
	if text := err.Error() + refused.Hint(); strings.Contains(text, "value\"") || strings.Contains(text, "secret") {
		t.Errorf("the error tells the value: %s", text)
	}
	if !strings.Contains(refused.Hint(), "--env-exclude 'A'") {
		t.Errorf("the hint is %q", refused.Hint())
	}
}

func TestParseFormat(t *testing.T) {
	for _, format := range Formats() {
		if got, err := ParseFormat(string(format)); got != format || err != nil {
			t.Errorf("ParseFormat(%s) = %s, %v", format, got, err)
		}
	}
	if _, err := ParseFormat("toml"); err == nil || !strings.Contains(err.Error(), "dotenv, shell, docker, json, yaml") {
		t.Errorf("ParseFormat(toml): %v, want an error with the formats", err)
	}
	if err := Write(&bytes.Buffer{}, "toml", nil); err == nil {
		t.Error("Write takes any format")
	}
}

func TestWriteNothing(t *testing.T) {
	want := map[Format]string{JSON: "{}\n", YAML: "{}\n"}
	for _, format := range Formats() {
		if got := string(write(t, format, nil)); got != want[format] {
			t.Errorf("%s: %q, want %q", format, got, want[format])
		}
	}
}

// What a format takes reads back as it was, beside others; what it refuses, it refuses alone.
func FuzzFormats(f *testing.F) {
	values := awkward()
	for i, value := range values {
		f.Add(value, values[(i+1)%len(values)])
	}
	f.Add("\xff", "\x00")
	f.Fuzz(func(t *testing.T, first, second string) {
		all := []Variable{{Name: "FIRST", Value: first}, {Name: "SECOND", Value: second}, {Name: "LAST", Value: "last"}}
		for format, read := range readers() {
			var out bytes.Buffer
			err := Write(&out, format, all)
			if refused, ok := errors.AsType[*RefusedError](err); ok {
				if out.Len() > 0 || slices.ContainsFunc(refused.Refused, func(r Refusal) bool { return r.Name == "LAST" }) {
					t.Errorf("%s: %v, and %q was written", format, err, &out)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(out.Bytes())
			if err != nil || !maps.Equal(got, asMap(all)) {
				t.Errorf("%s: %+v were written as\n%s\nand read as %q, %v", format, all, &out, got, err)
			}
		}
	})
}

func TestWriteFile(t *testing.T) {
	all := []Variable{{Name: "A", Value: "1"}}
	const want = "export A='1'\n"
	check := func(t *testing.T, path string) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("it holds %q, %v; want %q", got, err, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("its mode is %v, %v; want 0600", info.Mode(), err)
		}
	}
	alone := func(t *testing.T, dir string, want ...string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, entry := range entries {
			got = append(got, entry.Name())
		}
		if !slices.Equal(got, want) {
			t.Errorf("there are %q, want %q", got, want)
		}
	}
	t.Run("new", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "env.sh")
		if err := WriteFile(path, Shell, all); err != nil {
			t.Fatal(err)
		}
		check(t, path)
		alone(t, dir, "env.sh")
	})
	t.Run("replaces one that others may read, and leaves who has it open alone", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "env.sh")
		if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(path, filepath.Join(dir, "same")); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(path, Shell, all); err != nil {
			t.Fatal(err)
		}
		check(t, path)
		if old, _ := os.ReadFile(filepath.Join(dir, "same")); string(old) != "old" {
			t.Errorf("the old file holds %q", old)
		}
	})
	t.Run("refuses a symbolic link", func(t *testing.T) {
		dir := t.TempDir()
		target, path := filepath.Join(dir, "target"), filepath.Join(dir, "env.sh")
		if err := os.WriteFile(target, []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{target, filepath.Join(dir, "nowhere")} {
			if err := os.Symlink(to, path); err != nil {
				t.Fatal(err)
			}
			if err := WriteFile(path, Shell, all); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("WriteFile: %v, want an error that names it", err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := os.ReadFile(target); string(got) != "theirs" {
			t.Errorf("its target holds %q", got)
		}
		alone(t, dir, "target")
	})
	t.Run("refuses what is no file", func(t *testing.T) {
		dir := t.TempDir()
		if err := WriteFile(dir, Shell, all); err == nil {
			t.Error("WriteFile replaced a directory")
		}
		if err := WriteFile(filepath.Join(dir, "none", "env.sh"), Shell, all); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("WriteFile: %v, want ErrNotExist", err)
		}
	})
	t.Run("leaves the file alone if the format refuses", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "env.sh")
		if err := WriteFile(path, Shell, all); err != nil {
			t.Fatal(err)
		}
		err := WriteFile(path, Shell, []Variable{{Name: "A.B"}})
		if _, ok := errors.AsType[*RefusedError](err); !ok {
			t.Errorf("WriteFile: %v, want a RefusedError", err)
		}
		check(t, path)
		alone(t, dir, "env.sh")
	})
}
