// SPDX-License-Identifier: Apache-2.0

// Package files gives a process on this machine the files that volumes bring into its container: of ConfigMaps,
// Secrets, the downward API and service account tokens.
//
// They stand below a directory of the session, under the paths that they have in the container: what is
// /etc/app/app.yaml there is ROOT/etc/app/app.yaml here. [Tree.Rewrite] changes values that name such a path.
//
// What always holds:
//
//   - Nothing is read or written outside of the directory, whatever keys, paths and symbolic links say.
//   - Directories have mode 0700 and files 0600, whatever mode they have in the container.
//   - A file is the old one or the new one, whole. Those of one volume may change one after the other, though.
//   - What can't be read again keeps its last content.
//
// A few things differ from the kubelet: files that are mounted by a subPath are kept fresh, too; what the downward API
// says is as it was when the session began; and tokens aren't bound to the pod, so they outlive it.
package files
