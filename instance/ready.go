package instance

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/wayward-sec/wayward/pipeline"
)

// readiness answers /readyz: 200 once every stage has its partitions, holds their state and can
// write, 503 until then, with the first thing that it waits for. With ?verbose it says all of them,
// stage by stage and partition by partition.
type readiness struct{ health *pipeline.Health }

// ServeHTTP implements http.Handler.
func (r readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ready, lines := describe(req.Context(), r.health)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if !req.URL.Query().Has("verbose") {
		lines = lines[:1]
	}
	io.WriteString(w, strings.Join(lines, "\n")+"\n")
}

// describe says whether the engine is ready, and then line by line how everything is.
func describe(ctx context.Context, h *pipeline.Health) (bool, []string) {
	ready, stages, err := h.Check(ctx)
	lines := []string{"not ready"}
	if ready {
		lines[0] = "ready"
	}
	kafka := "answers"
	if err != nil {
		kafka = err.Error()
	}
	lines = append(lines, "kafka: "+kafka)
	why := ""
	if err != nil {
		why = "kafka: " + kafka
	}
	if err := h.Disk(); err != nil {
		why = "disk: " + err.Error()
		lines = append(lines, why)
	}
	for _, s := range stages {
		switch {
		case s.Waiting != "":
			lines = append(lines, s.Stage+": "+s.Waiting)
			why = cmp.Or(why, s.Stage+": "+s.Waiting)
		case len(s.Partitions) == 0 && s.Stage != "ingress":
			lines = append(lines, s.Stage+": standby: the group has more instances than partitions")
		case s.Ready():
			lines = append(lines, s.Stage+": ready")
		}
		for _, p := range s.Partitions {
			lines = append(lines, fmt.Sprintf("%s partition %d: %s", s.Stage, p.Partition, p.Doing))
			if !p.Ready {
				why = cmp.Or(why, lines[len(lines)-1])
			}
		}
	}
	if !ready && why != "" {
		lines[0] += ": " + why
	}
	return ready, lines
}
