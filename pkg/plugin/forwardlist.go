// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
)

// ForwardList is what kubectl velo forward prints with -o json or yaml. Its field names are interface.
type ForwardList struct {
	metav1.TypeMeta `json:",inline"`

	Items []Forward `json:"items"`
}

// Forward is one port of this machine that is forwarded to pods.
type Forward struct {
	// Name is what has the pods, as TYPE/NAME: service/web.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Port is that of Name, as it was asked for: a number or a name.
	Port string `json:"port"`
	// Local are the addresses on this machine that lead there, as IP:PORT.
	Local []string `json:"local"`
	// Pods are those that new connections may go to now.
	Pods []string `json:"pods,omitempty"`
	// Session is the ID of the session that forwards it, and Since when that began.
	Session string      `json:"session"`
	Since   metav1.Time `json:"since"`
	// State is ready, or waiting while new connections are held; Reason is what for, for people, and StateSince when that
	// began.
	State      livesession.State `json:"state"`
	Reason     string            `json:"reason,omitempty"`
	StateSince metav1.Time       `json:"stateSince"`
	// Reconnects is how often a connection to a pod was replaced because it, or its pod, had gone.
	Reconnects int64 `json:"reconnects"`
	// Connections is how many are open; BytesSent went to pods and BytesReceived came from them, in bytes, since the session
	// began.
	Connections   int64 `json:"connections"`
	BytesSent     int64 `json:"bytesSent"`
	BytesReceived int64 `json:"bytesReceived"`
	// Bypass is there while a production path of Name is broken.
	Bypass *Bypass `json:"bypass,omitempty"`
}

// Bypass is what a forward stands in for.
type Bypass struct {
	// Since when it has.
	Since metav1.Time `json:"since"`
	// Paths are those that are broken, with the reason, for people.
	Paths []string `json:"paths"`
}

// DeepCopyObject makes ForwardList a runtime.Object, which the printers want.
func (l *ForwardList) DeepCopyObject() runtime.Object {
	return &ForwardList{TypeMeta: l.TypeMeta, Items: copyForwards(l.Items)}
}

func copyForwards(all []Forward) []Forward {
	dup := slices.Clone(all)
	for i := range dup {
		dup[i].Local, dup[i].Pods = slices.Clone(dup[i].Local), slices.Clone(dup[i].Pods)
		if b := dup[i].Bypass; b != nil {
			dup[i].Bypass = &Bypass{Since: b.Since, Paths: slices.Clone(b.Paths)}
		}
	}
	return dup
}

// listedForwards are those of a session.
func listedForwards(s *livesession.Session) []Forward {
	all := make([]Forward, 0, len(s.Forwards))
	for i := range s.Forwards {
		f := &s.Forwards[i]
		listed := Forward{
			Name: f.Name, Namespace: s.Namespace, Port: f.Port, Local: f.Local, Pods: f.Pods,
			Session: s.ID, Since: metav1.NewTime(s.Since),
			State: f.State, Reason: f.Reason, StateSince: metav1.NewTime(f.StateSince), Reconnects: f.Reconnects,
			Connections: f.Connections, BytesSent: f.BytesSent, BytesReceived: f.BytesReceived,
		}
		if f.Bypass != nil {
			listed.Bypass = &Bypass{Since: metav1.NewTime(f.Bypass.Since), Paths: f.Bypass.Paths}
		}
		all = append(all, listed)
	}
	return all
}

// printForwards prints a session's forwards as json or yaml.
func printForwards(w io.Writer, output string, s *livesession.Session) error {
	list := &ForwardList{Items: listedForwards(s)}
	list.SetGroupVersionKind(outputGroup.WithKind("ForwardList"))
	if output == "yaml" {
		return (&printers.YAMLPrinter{}).PrintObj(list, w)
	}
	return (&printers.JSONPrinter{}).PrintObj(list, w)
}

// forwardTable shows forwards for people.
func forwardTable(all []Forward) *metav1.Table {
	const wideOnly = 1 // the printer leaves columns of a priority above 0 out, but for -o wide
	table := &metav1.Table{ColumnDefinitions: []metav1.TableColumnDefinition{
		{Name: "Forward", Type: "string"},
		{Name: "Local", Type: "string"},
		{Name: "State", Type: "string"},
		{Name: "Open", Type: "integer"},
		{Name: "Sent", Type: "string"},
		{Name: "Received", Type: "string"},
		{Name: "Reconnects", Type: "integer"},
		{Name: "Age", Type: "string"},
		{Name: "Bypass", Type: "string"},
		{Name: "Session", Type: "string", Priority: wideOnly},
		{Name: "Pods", Type: "string", Priority: wideOnly},
		{Name: "Reason", Type: "string", Priority: wideOnly},
		{Name: "Broken", Type: "string", Priority: wideOnly},
	}}
	for i := range all {
		f := &all[i]
		state := string(f.State)
		if f.State == livesession.Waiting {
			state += " for " + duration.HumanDuration(time.Since(f.StateSince.Time))
		}
		bypass, broken := "", ""
		if f.Bypass != nil {
			bypass, broken = duration.HumanDuration(time.Since(f.Bypass.Since.Time)), strings.Join(f.Bypass.Paths, ", ")
		}
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells: []any{
				f.Name + ":" + f.Port, strings.Join(f.Local, ","), state, f.Connections, size(f.BytesSent), size(f.BytesReceived),
				f.Reconnects, duration.HumanDuration(time.Since(f.Since.Time)), orNone(bypass),
				f.Session, orNone(strings.Join(f.Pods, ",")), orNone(f.Reason), orNone(broken),
			},
			Object: runtime.RawExtension{Object: &metav1.PartialObjectMetadata{
				ObjectMeta: metav1.ObjectMeta{Name: f.Name, Namespace: f.Namespace},
			}},
		})
	}
	return table
}
