// SPDX-License-Identifier: Apache-2.0

// Package sbom writes software bills of materials of Go programs, in CycloneDX, from the build information that the compiler
// has written into them: so they tell what is in the program that is released, and not what was meant to be. The same program
// makes the same bytes, which generators that number their documents and put the time in don't.
package sbom

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// Write writes the SBOM of a program to a file.
func Write(program, document, version string, created time.Time) error {
	bom, err := describe(program, version, created)
	if err != nil {
		return fmt.Errorf("describing %s: %w", program, err)
	}
	f, err := os.Create(document)
	if err != nil {
		return err
	}
	if err := cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		_ = f.Close()
		return fmt.Errorf("writing %s: %w", document, err)
	}
	return f.Close()
}

func describe(program, version string, created time.Time) (*cdx.BOM, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	main := component(info.Main.Path, version)
	main.Type, main.Name = cdx.ComponentTypeApplication, path.Base(info.Path)
	main.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	main.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	main.Properties = settings(info)

	components := []cdx.Component{component("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		components = append(components, component(module.Path, module.Version))
	}
	slices.SortFunc(components, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	needs := make([]string, 0, len(components))
	for i := range components {
		needs = append(needs, components[i].BOMRef)
	}

	bom := cdx.NewBOM()
	bom.SerialNumber = serial(sum)
	bom.Metadata = &cdx.Metadata{Timestamp: created.Format(time.RFC3339), Component: &main}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &needs}}
	return bom, nil
}

// component is a module, with the name that vulnerability databases know it by.
func component(module, version string) cdx.Component {
	url := "pkg:golang/" + module + "@" + version
	return cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: module, Version: version, PackageURL: url}
}

// settings are those that decide what is in the program: system, architecture, build tags and so on.
func settings(info *debug.BuildInfo) *[]cdx.Property {
	all := make([]cdx.Property, 0, 1+len(info.Settings))
	all = append(all, cdx.Property{Name: "go:version", Value: info.GoVersion})
	for _, setting := range info.Settings {
		all = append(all, cdx.Property{Name: "go:build:" + setting.Key, Value: setting.Value})
	}
	return &all
}

// serial makes the document's number, which has to be an UUID, of the program's hash: version 8 of RFC 9562 is for that.
func serial(sum [sha256.Size]byte) string {
	id := sum[:16]
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
