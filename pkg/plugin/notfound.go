// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// meantTimeout bounds the look at what may have been meant.
const meantTimeout = 2 * time.Second

// meant says what may have been meant by an argument that names what isn't there, or where it may be, or "".
func (c *call) meant(ctx context.Context, err error) string {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	missing := status.Status().Details
	i := slices.IndexFunc(c.args, func(arg string) bool { return arg[strings.Index(arg, "/")+1:] == missing.Name })
	if i < 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, meantTimeout)
	defer cancel()
	l, err := newCatalogue(c.kubeconfig)
	if err != nil {
		return ""
	}
	if instead := l.insteadOf(ctx, c.args[i], missing); instead != "" {
		return fmt.Sprintf("did you mean %s?", instead)
	}
	if *c.kubeconfig.Namespace == "" {
		return fmt.Sprintf("it was looked for in namespace %q; -n names another", l.namespace)
	}
	if _, err := l.client.CoreV1().Namespaces().Get(ctx, l.namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return fmt.Sprintf("there is no namespace %q", l.namespace)
	}
	return ""
}

// insteadOf returns what there is that an argument may have meant, as TYPE/NAME: a Service of that name, where no type was
// given, or something of its type with a name that is near. What can't be found out, isn't proposed.
func (l *catalogue) insteadOf(ctx context.Context, arg string, missing *metav1.StatusDetails) string {
	typ, name, typed := strings.Cut(arg, "/")
	if !typed {
		name = arg
		service := kindsCalled("service")[0]
		if there, err := l.named(ctx, service, service.word(), nil); err == nil && slices.Contains(names(there), name) {
			return service.word() + "/" + name
		}
	}
	for _, kind := range slices.Concat(workloadKinds(), verifyKinds()) {
		if kind.plural != missing.Kind || kind.group != missing.Group {
			continue
		}
		if !typed {
			typ = kind.word()
		}
		there, err := l.named(ctx, kind, typ, nil)
		if err != nil {
			return ""
		}
		if found := near(name, names(there)); len(found) > 0 {
			return typ + "/" + found[0]
		}
		return ""
	}
	return ""
}

// names are those of words that are offered as TYPE/NAME, with or without a description.
func names(words []string) []string {
	all := make([]string, len(words))
	for i, word := range words {
		word, _, _ = strings.Cut(word, "\t")
		_, all[i], _ = strings.Cut(word, "/")
	}
	return all
}
