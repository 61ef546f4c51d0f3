// SPDX-License-Identifier: Apache-2.0

package files

import (
	"path"
	"path/filepath"
	"strings"
)

// Rewrite returns a value with the container's paths that are carried over replaced by those on this machine. Such a
// path is absolute, and a carried mount's or below it: with /etc/app carried, /etc/app/x is one, and /etc/apple isn't.
// What another mount hides, and isn't carried over, isn't one either. The value is changed where it is
//
//   - such a path: /etc/app/x;
//   - a list of paths with colons between them: /usr/lib:/etc/app;
//   - a file: URL of such a path: file:///etc/app/x, jar:file:/etc/app/x.
//
// Nothing else is touched, above all no path of another URL: http://host/etc/app, classpath:/etc/app. As a word before
// a colon may be a URL's scheme, a path that follows a name without slashes in a list, lib:/etc/app, isn't touched
// either.
func (t *Tree) Rewrite(value string) string {
	parts := strings.Split(value, ":")
	for i, part := range parts {
		prefix := ""
		if i > 0 {
			before := parts[i-1][strings.LastIndexByte(parts[i-1], ',')+1:]
			switch {
			case before == "file" && strings.HasPrefix(part, "///"): // with a host, which is empty
				prefix, part = "//", part[2:]
			case before != "file" && isScheme(before):
				continue
			}
		}
		if local, ok := t.local(part); ok {
			parts[i] = prefix + local
		}
	}
	return strings.Join(parts, ":")
}

// isScheme is whether a word may be the scheme of a URL, by RFC 3986, section 3.1.
func isScheme(word string) bool {
	for i, r := range word {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", r)) {
			return false
		}
	}
	return word != ""
}

// local returns where on this machine a path of the container is, if it is carried over. A slash at its end stays.
func (t *Tree) local(name string) (string, bool) {
	if !path.IsAbs(name) || strings.HasPrefix(name, "//") { // two slashes begin a URL's host
		return "", false
	}
	clean := path.Clean(name)
	if _, carried := t.mountOf(clean); !carried {
		return "", false
	}
	local := filepath.Join(t.dir, filepath.FromSlash(clean))
	if strings.HasSuffix(name, "/") {
		local += "/"
	}
	return local, true
}

// mountOf returns the path of the mount that a clean path of the container is in, and whether it is carried over. Of
// mounts within each other it is the innermost; one that is carried over in part is carried over.
func (t *Tree) mountOf(name string) (at string, carried bool) {
	for _, mount := range t.carried {
		if len(mount.Path) > len(at) && isBelow(name, mount.Path) {
			at, carried = mount.Path, true
		}
	}
	for _, mount := range t.left {
		if len(mount.Path) > len(at) && isBelow(name, mount.Path) {
			at, carried = mount.Path, false
		}
	}
	return at, carried
}

// isBelow is whether a clean absolute path is another one or lies below it.
func isBelow(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return ok && (rest == "" || rest[0] == '/' || dir == "/")
}
