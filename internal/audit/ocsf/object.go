package ocsf

// The types below have the attributes of the OCSF schema that are written here, under the schema's names.

type event struct {
	ActivityID   int       `json:"activity_id"`
	ActivityName string    `json:"activity_name"`
	CategoryUID  int       `json:"category_uid"`
	CategoryName string    `json:"category_name"`
	ClassUID     int       `json:"class_uid"`
	ClassName    string    `json:"class_name"`
	TypeUID      int       `json:"type_uid"`
	TypeName     string    `json:"type_name"`
	SeverityID   int       `json:"severity_id"`
	Severity     string    `json:"severity"`
	StatusID     int       `json:"status_id"`
	Status       string    `json:"status"`
	StatusDetail string    `json:"status_detail,omitempty"`
	Time         int64     `json:"time"` // milliseconds since 1970
	Message      string    `json:"message"`
	Metadata     metadata  `json:"metadata"`
	Actor        actor     `json:"actor"`
	SrcEndpoint  *endpoint `json:"src_endpoint,omitempty"`
	User         user      `json:"user"`

	// Group is in Group Management alone, Privileges and Resources in the classes about access. User Access Management
	// requires Privileges; nil leaves them out.
	Group      *groupObject `json:"group,omitempty"`
	Privileges []string     `json:"privileges,omitzero"`
	Resources  []resource   `json:"resources,omitempty"`

	Unmapped unmapped `json:"unmapped"`
}

type metadata struct {
	Version        string  `json:"version"`
	UID            string  `json:"uid"`
	CorrelationUID string  `json:"correlation_uid"`
	EventCode      string  `json:"event_code"`
	Product        product `json:"product"`
}

type product struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
	Version    string `json:"version,omitempty"`
}

type actor struct {
	User    user   `json:"user"`
	AppName string `json:"app_name,omitempty"`
}

type endpoint struct {
	Hostname string `json:"hostname,omitempty"`
	Name     string `json:"name,omitempty"`
}

type user struct {
	Name     string `json:"name"`
	UID      string `json:"uid,omitempty"`
	FullName string `json:"full_name,omitempty"`
	Domain   string `json:"domain,omitempty"`
	TypeID   int    `json:"type_id,omitempty"`
	Type     string `json:"type,omitempty"`

	ProgrammaticCredentials []programmaticCredential `json:"programmatic_credentials,omitempty"`
}

type programmaticCredential struct {
	UID string `json:"uid"`
}

type groupObject struct {
	Name   string `json:"name"`
	Domain string `json:"domain,omitempty"`
}

type resource struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	Type string `json:"type"`
}

// unmapped is what OCSF has no attribute for, the same in every class and version.
type unmapped struct {
	Activity           string   `json:"activity"`
	Outcome            string   `json:"outcome"`
	Change             string   `json:"change"`
	Stack              string   `json:"stack"`
	Identity           identity `json:"identity"`
	Platform           platform `json:"platform"`
	RunURL             string   `json:"run_url,omitempty"`
	EntitlementsBefore []string `json:"entitlements_before,omitempty"`
	EntitlementsAfter  []string `json:"entitlements_after,omitempty"`
	Credential         string   `json:"credential,omitempty"`
	Path               string   `json:"path,omitempty"`
	RegistryOf         string   `json:"registry_of,omitempty"`
	Justification      string   `json:"justification,omitempty"`
	Resource           string   `json:"resource,omitempty"`
}

type identity struct {
	Name  string `json:"name"`
	Kind  string `json:"kind,omitempty"`
	Owner string `json:"owner,omitempty"`
}

type platform struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Target string `json:"target"`
}
