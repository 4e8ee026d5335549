// Package configs holds the example configuration, which the demo runs with.
package configs

import "embed"

// Files are the examples, as they lie in this folder.
//
//go:embed tools/*.yaml personas/*.yaml limits/*.yaml response/*.yaml inventory/*.yaml tenants/*.yaml baselines/*.yaml rules/*.yaml
var Files embed.FS
