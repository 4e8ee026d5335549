package sinks

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wayward-sec/wayward/event"
)

// ErrForeign means that a record is no finding of wayward: other products write Detection Findings
// too.
var ErrForeign = errors.New("no finding of wayward: unmapped.wayward.schema is not " + schemaName)

// Read reads a record of OCSF.Append back, for those who explain findings. Truncated: the record
// does not say all that the finding did. What it reads may come from anywhere: texts are as long as
// the record lets them be and vouched for by nobody.
func Read(record []byte) (f event.Finding, truncated bool, err error) {
	var r struct {
		ActivityID int   `json:"activity_id"`
		TypeUID    int   `json:"type_uid"`
		SeverityID int   `json:"severity_id"`
		Time       int64 `json:"time"`
		Start      int64 `json:"start_time"`
		End        int64 `json:"end_time"`
		Alert      bool  `json:"is_alert"`
		Risk       int   `json:"risk_score"`
		Count      int64 `json:"count"`
		Info       struct {
			UID, Title, Desc string
			Analytic         struct {
				TypeID int `json:"type_id"`
			}
			Events []struct {
				UID  string
				Time int64 `json:"first_seen_time"`
				Tags []struct{ Value string }
			} `json:"related_events"`
		} `json:"finding_info"`
		Metadata struct {
			Tenant    string `json:"tenant_uid"`
			Now       int64  `json:"processed_time"`
			Truncated bool   `json:"is_truncated"`
		}
		Unmapped struct {
			Wayward struct {
				Schema, Detector, Rule, Stage, Agent, Persona, Session, User, Tool, Server, Class, Target, Measure,
				Unit, Observed, Expected string

				RuleVersion string `json:"rule_version"`
				Scope       struct{ Type, ID string }
				WindowMS    int64 `json:"window_ms"`
				Incomplete  bool
				Full        string `json:"state_full"`
				Unreadable  string `json:"unreadable"`
				Tags        []string
				Anomaly     *struct {
					P, Alpha                      float64
					Family, Test, Feature, Unit   string
					Observed, Expected, Low, High float64
					WindowMS                      int64 `json:"window_ms"`
					Season, Persona, Fork         string
					Support                       struct {
						AgentDays int64 `json:"agent_days"`
						Agents    int64
					}
					Snapshot, State string
					Stranger        bool
					Scores          []event.Score
					Steps           []event.Step
				}
			}
		}
	}
	if err := json.Unmarshal(record, &r); err != nil {
		return f, false, err
	}
	w := &r.Unmapped.Wayward
	switch {
	case w.Schema != schemaName:
		return f, false, ErrForeign
	case r.TypeUID != 200400+r.ActivityID:
		return f, false, fmt.Errorf("type_uid %d of activity %d: no Detection Finding", r.TypeUID, r.ActivityID)
	}
	class, _ := event.ParseClass(w.Class)
	f = event.Finding{
		UID: r.Info.UID, Activity: event.Activity(known(r.ActivityID, activities[:])),
		Analytic: event.Analytic(known(r.Info.Analytic.TypeID, analytics[:])),
		Severity: event.Severity(known(r.SeverityID, severities[:])), Risk: r.Risk, Alert: r.Alert,
		Incomplete: w.Incomplete, Full: w.Full, Unreadable: w.Unreadable, Tenant: r.Metadata.Tenant,
		Detector: w.Detector, Rule: w.Rule, RuleVersion: w.RuleVersion, Title: r.Info.Title, Why: r.Info.Desc,
		Tags: w.Tags, ScopeType: w.Scope.Type, ScopeID: w.Scope.ID,
		Agent: w.Agent, Persona: w.Persona, Session: w.Session, User: w.User, Tool: w.Tool, Server: w.Server,
		Class: class, Target: w.Target, Time: r.Time, First: r.Start,
		Last: r.End, Now: r.Metadata.Now, Count: r.Count, Measure: w.Measure, Unit: w.Unit, Observed: w.Observed,
		Expected: w.Expected, WindowMS: w.WindowMS, Stage: w.Stage,
	}
	for _, e := range r.Info.Events {
		ref := event.Ref{Time: e.Time, ID: e.UID, Agent: w.Agent}
		if len(e.Tags) > 0 {
			ref.Agent = e.Tags[0].Value
		}
		f.Refs = append(f.Refs, ref)
	}
	if a := w.Anomaly; a != nil {
		f.Anomaly = &event.Anomaly{P: a.P, Alpha: a.Alpha, Family: a.Family, Test: a.Test, Feature: a.Feature,
			Unit: a.Unit, Observed: a.Observed, Expected: a.Expected, Low: a.Low,
			High: a.High, WindowMS: a.WindowMS, Season: a.Season, Persona: a.Persona, Fork: a.Fork,
			AgentDays: a.Support.AgentDays, Agents: a.Support.Agents, Snapshot: a.Snapshot,
			State: a.State, Stranger: a.Stranger, Scores: a.Scores, Steps: a.Steps}
	}
	return f, r.Metadata.Truncated, nil
}
