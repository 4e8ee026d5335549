// Package configs holds the example configuration, which the demo runs with.
package configs

import "embed"

// Files are the example tools, personas and limits, as they lie in this folder.
//
//go:embed tools/*.yaml personas/*.yaml limits/*.yaml
var Files embed.FS
