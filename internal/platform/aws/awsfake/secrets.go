package awsfake

import (
	"slices"
	"time"
)

// storedSecret is a secret of the Secrets Manager.
type storedSecret struct {
	name, description string
	versions          map[string]string   // id → text
	stages            map[string][]string // id → labels
}

// stageOf returns the version that has a label, "" if none does.
func (s *storedSecret) stageOf(label string) string {
	for id, labels := range s.stages {
		if slices.Contains(labels, label) {
			return id
		}
	}
	return ""
}

func (s *storedSecret) move(label, to string) {
	for id := range s.stages {
		s.stages[id] = without(s.stages[id], label)
	}
	if to != "" {
		s.stages[to] = append(s.stages[to], label)
	}
	for id, labels := range s.stages {
		if len(labels) == 0 { // A version without labels is deprecated and goes.
			delete(s.stages, id)
			delete(s.versions, id)
		}
	}
}

func (s *storedSecret) arn() string {
	return "arn:aws:secretsmanager:us-east-1:" + Account + ":secret:" + s.name + "-AbCdEf"
}

// WriteByHand makes text the current version of a secret, as another program would.
func (f *Fake) WriteByHand(name, version, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.secrets[name]
	if s == nil {
		s = &storedSecret{name: name, versions: map[string]string{}, stages: map[string][]string{}}
		f.secrets[name] = s
	}
	s.versions[version] = text
	s.makeCurrent(version)
}

// makeCurrent moves AWSCURRENT; AWS itself then moves AWSPREVIOUS.
func (s *storedSecret) makeCurrent(version string) {
	if before := s.stageOf("AWSCURRENT"); before != "" && before != version {
		s.stages[version] = append(s.stages[version], "AWSCURRENT")
		s.stages[before] = without(s.stages[before], "AWSCURRENT")
		s.move("AWSPREVIOUS", before)
		return
	}
	s.move("AWSCURRENT", version)
}

// Versions counts the versions that a secret keeps.
func (f *Fake) Versions(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.secrets[name].versions)
}

func (f *Fake) secretOperation(name string, in record) (record, error) {
	if name == "CreateSecret" {
		if f.secrets[in.text("Name")] != nil {
			return nil, refuse("ResourceExistsException", "The operation failed because the secret %s already exists.", in.text("Name"))
		}
		id := in.text("ClientRequestToken")
		s := &storedSecret{
			name: in.text("Name"), description: in.text("Description"),
			versions: map[string]string{id: in.text("SecretString")}, stages: map[string][]string{id: {"AWSCURRENT"}},
		}
		f.secrets[s.name] = s
		return record{"ARN": s.arn(), "Name": s.name, "VersionId": id}, nil
	}
	s := f.secrets[in.text("SecretId")]
	if s == nil {
		if name == "DeleteSecret" && in["ForceDeleteWithoutRecovery"] == true {
			return record{"Name": in.text("SecretId")}, nil
		}
		return nil, refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	}
	switch name {
	case "GetSecretValue":
		id := s.stageOf("AWSCURRENT")
		return record{"ARN": s.arn(), "Name": s.name, "VersionId": id, "SecretString": s.versions[id], "CreatedDate": time.Now()}, nil
	case "DescribeSecret":
		return record{"ARN": s.arn(), "Name": s.name, "Description": s.description}, nil
	case "UpdateSecret":
		s.description = in.text("Description")
	case "DeleteSecret":
		delete(f.secrets, s.name)
	case "PutSecretValue":
		return s.put(in)
	case "UpdateSecretVersionStage":
		return s.moveStage(in)
	}
	return record{"ARN": s.arn(), "Name": s.name}, nil
}

func (s *storedSecret) put(in record) (record, error) {
	id := in.text("ClientRequestToken")
	if text, there := s.versions[id]; there && text != in.text("SecretString") {
		return nil, refuse("ResourceExistsException", "A version with this token exists and holds something else.")
	}
	s.versions[id] = in.text("SecretString")
	labels := in.texts("VersionStages")
	if len(labels) == 0 {
		s.makeCurrent(id)
	}
	for _, label := range labels {
		s.move(label, id)
	}
	return record{"ARN": s.arn(), "Name": s.name, "VersionId": id}, nil
}

// moveStage moves a label from one version to another. RemoveFromVersionId must name the version that has it.
func (s *storedSecret) moveStage(in record) (record, error) {
	label, to, from := in.text("VersionStage"), in.text("MoveToVersionId"), in.text("RemoveFromVersionId")
	if has := s.stageOf(label); has != from {
		return nil, refuse("InvalidParameterException",
			"The parameter RemoveFromVersionId can't be %q. Staging label %s is currently attached to version %q.", from, label, has)
	}
	if _, ok := s.versions[to]; to != "" && !ok {
		return nil, refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret version: %s.", to)
	}
	if label == "AWSCURRENT" && to != "" {
		s.makeCurrent(to)
	} else {
		s.move(label, to)
	}
	return record{"ARN": s.arn(), "Name": s.name}, nil
}
