package rendertest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const (
	chartDir   = "../helm/basisdienste"
	production = chartDir + "/ci/production-values.yaml"
	withConsul = chartDir + "/ci/consul-values.yaml"
)

var services = []string{"tenants", "auth", "payment", "forms", "notify", "booking", "console", "edge"}

// render is `helm template basis CHART --namespace basis --values …`; a file name "" is the
// chart's own values.
func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	caps := chartutil.DefaultCapabilities.Copy()
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "basis", Namespace: "basis", IsInstall: true}, caps)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(c, all)
}

func valuesFile(t *testing.T, name string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if name == "" {
		return values
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return values
}

// rendered is what the chart makes, by kind and name, each read strictly as what it is.
type rendered struct {
	deployments map[string]*appsv1.Deployment
	jobs        map[string]*batchv1.Job
	services    map[string]*corev1.Service
	accounts    map[string]*corev1.ServiceAccount
	configs     map[string]*corev1.ConfigMap
	budgets     map[string]*policyv1.PodDisruptionBudget
	policies    map[string]*networkingv1.NetworkPolicy
	scalers     map[string]*autoscalingv2.HorizontalPodAutoscaler
	ingresses   map[string]*networkingv1.Ingress
	claims      map[string]*corev1.PersistentVolumeClaim
}

func decode[T any, P interface {
	*T
	runtime.Object
	GetName() string
	GetNamespace() string
	GetLabels() map[string]string
}](t *testing.T, text []byte, into map[string]P,
) {
	t.Helper()
	object := P(new(T))
	js, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Errorf("%T: %v\n%s", object, err, text)
		return
	}
	if wrong, err := json.UnmarshalStrict(js, object); err != nil || len(wrong) > 0 { // as the API server does with fieldValidation=Strict
		t.Errorf("%T: %v, %v\n%s", object, wrong, err, text)
		return
	}
	if object.GetNamespace() != "basis" || object.GetLabels()["app.kubernetes.io/instance"] != "basis" {
		t.Errorf("%T %s: namespace %q, labels %v, want those of the release", object, object.GetName(), object.GetNamespace(), object.GetLabels())
	}
	if len(object.GetName()) > 63 || into[object.GetName()] != nil {
		t.Errorf("%T %s: the name is too long or there twice", object, object.GetName())
	}
	into[object.GetName()] = object
}

func read(t *testing.T, files map[string]string) rendered {
	t.Helper()
	r := rendered{
		map[string]*appsv1.Deployment{},
		map[string]*batchv1.Job{},
		map[string]*corev1.Service{},
		map[string]*corev1.ServiceAccount{},
		map[string]*corev1.ConfigMap{},
		map[string]*policyv1.PodDisruptionBudget{},
		map[string]*networkingv1.NetworkPolicy{},
		map[string]*autoscalingv2.HorizontalPodAutoscaler{},
		map[string]*networkingv1.Ingress{},
		map[string]*corev1.PersistentVolumeClaim{},
	}
	for file, text := range files {
		if strings.HasSuffix(file, ".txt") {
			continue
		}
		for document := range strings.SplitSeq("\n"+text, "\n---") {
			var kind struct{ APIVersion, Kind string }
			if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
				t.Fatalf("%s: %v\n%s", file, err, document)
			}
			switch of := kind.APIVersion + " " + kind.Kind; of {
			case " ": // comments
			case "apps/v1 Deployment":
				decode(t, []byte(document), r.deployments)
			case "batch/v1 Job":
				decode(t, []byte(document), r.jobs)
			case "v1 Service":
				decode(t, []byte(document), r.services)
			case "v1 ServiceAccount":
				decode(t, []byte(document), r.accounts)
			case "v1 ConfigMap":
				decode(t, []byte(document), r.configs)
			case "policy/v1 PodDisruptionBudget":
				decode(t, []byte(document), r.budgets)
			case "networking.k8s.io/v1 NetworkPolicy":
				decode(t, []byte(document), r.policies)
			case "autoscaling/v2 HorizontalPodAutoscaler":
				decode(t, []byte(document), r.scalers)
			case "networking.k8s.io/v1 Ingress":
				decode(t, []byte(document), r.ingresses)
			case "v1 PersistentVolumeClaim":
				decode(t, []byte(document), r.claims)
			default:
				t.Errorf("%s: %s is not expected:\n%s", file, of, document)
			}
		}
	}
	return r
}

func TestChart(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", production, withConsul} {
		t.Run("values "+file, func(t *testing.T) {
			t.Parallel()
			files, err := render(t, valuesFile(t, file))
			if err != nil {
				t.Fatalf("helm template: %v", err)
			}
			r := read(t, files)
			if t.Failed() {
				return
			}
			for _, s := range services {
				checkService(t, r, s)
				checkJob(t, r.jobs["basis-basisdienste-"+s+"-migrate"], s)
			}
			if len(r.deployments) != len(services) || len(r.jobs) != len(services) || len(r.services) != len(services) {
				t.Errorf("%d deployments, %d jobs, %d services, want %d of each", len(r.deployments), len(r.jobs), len(r.services), len(services))
			}
			checkPolicies(t, r)
			checkFiles(t, r)
			checkNoSecret(t, files)
			if full := file == production; (len(r.ingresses) == 1) != full || (len(r.scalers) == 2) != full {
				t.Errorf("%d ingresses, %d autoscalers with values %q", len(r.ingresses), len(r.scalers), file)
			}
		})
	}
}

func checkService(t *testing.T, r rendered, s string) {
	t.Helper()
	name := "basis-basisdienste-" + s
	d := r.deployments[name]
	if d == nil || r.services[name] == nil || r.accounts[name] == nil || r.configs[name] == nil || r.budgets[name] == nil {
		t.Errorf("%s: deployment, service, account, configuration or budget is missing", s)
		return
	}
	scaler := r.scalers[name]
	switch {
	case scaler != nil:
		if d.Spec.Replicas != nil || *scaler.Spec.MinReplicas < 2 || scaler.Spec.MaxReplicas <= *scaler.Spec.MinReplicas || scaler.Spec.ScaleTargetRef.Name != name {
			t.Errorf("%s: replicas %v beside an autoscaler %+v", s, d.Spec.Replicas, scaler.Spec)
		}
	case d.Spec.Replicas == nil || *d.Spec.Replicas < 2:
		t.Errorf("%s: replicas = %v, want 2 or more", s, d.Spec.Replicas)
	}
	labels := d.Spec.Template.Labels
	for what, selector := range map[string]map[string]string{
		"deployment": d.Spec.Selector.MatchLabels, "service": r.services[name].Spec.Selector, "budget": r.budgets[name].Spec.Selector.MatchLabels,
	} {
		if !matches(selector, labels) || matches(selector, r.deployments["basis-basisdienste-"+services[(slices.Index(services, s)+1)%len(services)]].Spec.Template.Labels) {
			t.Errorf("%s: the %s selects %v, want the pods with %v alone", s, what, selector, labels)
		}
	}
	if b := r.budgets[name].Spec.MaxUnavailable; b == nil || *b != intstr.FromInt32(1) {
		t.Errorf("%s: budget allows %v unavailable, want 1", s, b)
	}
	if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxUnavailable.IntValue() != 0 {
		t.Errorf("%s: an upgrade takes pods away before others are there: %v", s, u)
	}
	spec := d.Spec.Template.Spec
	checkPod(t, s, spec)
	c := spec.Containers[0]
	for probe, p := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe, "/healthz ": c.StartupProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != strings.TrimSpace(probe) || p.HTTPGet.Port.String() != "http" {
			t.Errorf("%s: probe %s = %+v", s, probe, p)
		}
	}
	checkConfig(t, r.configs[name].Data["basisdienste.yaml"], s, spec)
}

// checkPod holds for every pod, of jobs too.
func checkPod(t *testing.T, s string, spec corev1.PodSpec) {
	t.Helper()
	p := spec.SecurityContext
	if p == nil || p.RunAsNonRoot == nil || !*p.RunAsNonRoot || p.RunAsUser == nil || *p.RunAsUser == 0 || p.SeccompProfile == nil || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: security of the pod = %+v, want a plain user and seccomp", s, p)
	}
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken || spec.HostNetwork || spec.HostPID {
		t.Errorf("%s: the pod has the cluster's token or the host's network", s)
	}
	if len(spec.Containers) != 1 || len(spec.InitContainers) != 0 {
		t.Errorf("%s: %d containers, want 1", s, len(spec.Containers))
	}
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
		if v.HostPath != nil {
			t.Errorf("%s: volume %s is the host's", s, v.Name)
		}
	}
	for _, c := range spec.Containers {
		sc := c.SecurityContext
		if sc == nil || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem || sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation ||
			sc.Capabilities == nil || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(sc.Capabilities.Add) > 0 {
			t.Errorf("%s: security of the container = %+v", s, sc)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Limits.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s: resources = %+v, want requests and limits", s, c.Resources)
		}
		if strings.HasSuffix(c.Image, ":latest") || !strings.Contains(c.Image, ":") {
			t.Errorf("%s: image %s, want a version", s, c.Image)
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s: mounts %s, which is no volume", s, m.Name)
			}
			delete(volumes, m.Name)
		}
	}
	for v := range volumes {
		t.Errorf("%s: nobody mounts the volume %s", s, v)
	}
}

func checkJob(t *testing.T, j *batchv1.Job, s string) {
	t.Helper()
	if j == nil {
		t.Errorf("%s: no job migrates", s)
		return
	}
	spec := j.Spec.Template.Spec
	checkPod(t, s+"-migrate", spec)
	if j.Annotations["helm.sh/hook"] != "pre-install,pre-upgrade" || !slices.Contains(spec.Containers[0].Args, "--migrate") || spec.Containers[0].Command[0] != "/bin/"+s+"d" {
		t.Errorf("%s: migration = %v %v %v", s, j.Annotations, spec.Containers[0].Command, spec.Containers[0].Args)
	}
	for _, e := range spec.Containers[0].Env {
		checkMounted(t, s+"-migrate", e.Value, spec)
	}
	for _, v := range spec.Volumes {
		if v.ConfigMap != nil {
			t.Errorf("%s: the migration needs the ConfigMap %s, which comes after it", s, v.ConfigMap.Name)
		}
	}
}

// checkConfig reads the configuration of a service and looks for every file that it names
// among what is mounted.
func checkConfig(t *testing.T, text, s string, spec corev1.PodSpec) {
	t.Helper()
	checkKeys(t, s, []byte(text))
	var c struct {
		Server struct {
			DrainTimeout string         `json:"drain_timeout"`
			Services     map[string]any `json:"services"`
			Consul       map[string]any `json:"consul"`
			Broker       struct{ User string }
		} `json:"server"`
	}
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatalf("%s: %v\n%s", s, err, text)
	}
	if c.Server.Broker.User != s || (len(c.Server.Services) == len(services)-1) == (c.Server.Consul != nil) {
		t.Errorf("%s: broker's user %q, services %v, Consul %v: want its own name, and one way to find the others", s, c.Server.Broker.User, c.Server.Services, c.Server.Consul)
	}
	var drain int64
	if _, err := fmt.Sscanf(c.Server.DrainTimeout, "%ds", &drain); err != nil {
		t.Errorf("%s: drain_timeout %q: %v", s, c.Server.DrainTimeout, err)
	}
	sleep := spec.Containers[0].Lifecycle.PreStop.Sleep.Seconds
	if grace := *spec.TerminationGracePeriodSeconds; grace < sleep+2*drain {
		t.Errorf("%s: %d s until it is killed, want more than %d s before the drain and twice %d s for it", s, grace, sleep, drain)
	}
	checkMounted(t, s, text, spec)
}

// checkKeys: no key of the section server but those of the example, which deploytest holds
// against the code.
func checkKeys(t *testing.T, s string, text []byte) {
	t.Helper()
	example, err := os.ReadFile("../config/basisdienste.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var known, used struct {
		Server map[string]any `json:"server"`
	}
	if err := errors.Join(yaml.Unmarshal(example, &known), yaml.Unmarshal(text, &used)); err != nil {
		t.Fatal(err)
	}
	known.Server["services"] = nil // only in a comment there
	for key, value := range used.Server {
		of, ok := known.Server[key]
		if !ok {
			t.Errorf("%s: server.%s is no setting", s, key)
		}
		section, _ := value.(map[string]any)
		names, _ := of.(map[string]any)
		for inner := range section {
			if _, ok := names[inner]; !ok && key != "services" && inner != "user" {
				t.Errorf("%s: server.%s.%s is no setting", s, key, inner)
			}
		}
	}
}

// checkFiles: the pods of forms share the folder of uploaded files.
func checkFiles(t *testing.T, r rendered) {
	t.Helper()
	const name = "basis-basisdienste-forms"
	claim := r.claims[name+"-files"]
	if claim == nil || !slices.Equal(claim.Spec.AccessModes, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}) {
		t.Errorf("claim = %+v, want one that many can write", claim)
	}
	uses := slices.ContainsFunc(r.deployments[name].Spec.Template.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == name+"-files"
	})
	if config := r.configs[name].Data["basisdienste.yaml"]; !uses || !strings.Contains(config, "forms:\n  files_dir: /files") {
		t.Errorf("forms uses the claim: %t, its configuration:\n%s", uses, config)
	}
}

// checkMounted looks for every file that text names among those of the volumes.
func checkMounted(t *testing.T, s, text string, spec corev1.PodSpec) {
	t.Helper()
	var files []string
	for _, m := range spec.Containers[0].VolumeMounts {
		for _, v := range spec.Volumes {
			if v.Name != m.Name {
				continue
			}
			if v.Projected != nil {
				for _, source := range v.Projected.Sources {
					for _, item := range source.Secret.Items {
						files = append(files, m.MountPath+"/"+item.Path)
					}
				}
			}
			if v.Secret != nil {
				for _, key := range []string{"tls.crt", "tls.key", "ca.crt"} {
					files = append(files, m.MountPath+"/"+key)
				}
			}
		}
	}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \n,{}\"", r) }) {
		if strings.HasPrefix(word, "/run/") && !slices.Contains(files, word) {
			t.Errorf("%s: %s is named, mounted are %v", s, word, files)
		}
	}
}

// checkPolicies: everything is denied, and only the edge is reached from outside.
func checkPolicies(t *testing.T, r rendered) {
	t.Helper()
	deny := r.policies["basis-basisdienste-deny"]
	if deny == nil || len(deny.Spec.Ingress)+len(deny.Spec.Egress) != 0 || len(deny.Spec.PolicyTypes) != 2 {
		t.Fatalf("default policy = %+v, want one that allows nothing", deny)
	}
	for name, p := range r.policies {
		if err := validation.ValidateLabels(p.Spec.PodSelector.MatchLabels, nil); len(err) > 0 {
			t.Errorf("%s: %v", name, err)
		}
		for _, rule := range p.Spec.Ingress {
			if len(rule.From) == 0 || len(rule.Ports) == 0 {
				t.Errorf("%s lets in everybody: %+v", name, rule)
			}
		}
		for _, rule := range p.Spec.Egress {
			if len(rule.To) == 0 || len(rule.Ports) == 0 {
				t.Errorf("%s lets out to everybody: %+v", name, rule)
			}
		}
	}
	for pod, d := range r.deployments {
		if !matches(deny.Spec.PodSelector.MatchLabels, d.Spec.Template.Labels) {
			t.Errorf("%s is not covered by the default policy", pod)
		}
	}
	if edge := r.policies["basis-basisdienste-edge"]; edge == nil || edge.Spec.PodSelector.MatchLabels["app.kubernetes.io/component"] != "edge" {
		t.Errorf("policy of the edge = %+v", edge)
	}
}

func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// checkNoSecret: Secrets are named, never made, and nothing that looks like one is inside.
func checkNoSecret(t *testing.T, files map[string]string) {
	t.Helper()
	for file, text := range files {
		if strings.Contains(text, "kind: Secret\n") {
			t.Errorf("%s makes a Secret", file)
		}
		for line := range strings.Lines(text) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
			if ok && value != "" && slices.Contains([]string{"password", "token", "service_key", "url", "owner_url", "api_key", "secret_key"}, key) {
				t.Errorf("%s: %s holds a value, want a file", file, line)
			}
		}
	}
}

func TestChart_Lint(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", production, withConsul} {
		l := lint.All(chartDir, valuesFile(t, file), "basis", true)
		for _, m := range l.Messages {
			if m.Severity > support.InfoSev { // "icon is recommended" is information
				t.Errorf("helm lint with values %q: %v", file, m)
			}
		}
	}
}

// TestChart_RefusesWrongValues: what cannot work is refused by the schema before anything is made.
func TestChart_RefusesWrongValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, values, want string }{
		{"unknown key", "publicURL: https://x.de", "publicURL"},
		{"plain HTTP", "publicUrl: http://x.de", "publicUrl"},
		{"slash at the end", "publicUrl: https://x.de/", "publicUrl"},
		{"one pod", "defaults: {replicas: 1}", "replicas"},
		{"one pod of a service", "services: {payment: {replicas: 1}}", "replicas"},
		{"unknown service", "services: {paiment: {}}", "paiment"},
		{"unknown key of a service", "services: {payment: {replica: 3}}", "replica"},
		{"broker without TLS", "broker: {urls: [\"nats://nats:4222\"]}", "urls"},
		{"no broker", "broker: {urls: []}", "urls"},
		{"two replicas of a stream", "broker: {replicas: 2}", "replicas"},
		{"no secret", "secrets: {serviceKey: \"\"}", "serviceKey"},
		{"secret value instead of name", "secrets: {serviceKey: \"p4ss word!\"}", "serviceKey"},
		{"a limit without unit", "defaults: {resources: {limits: {memory: \"512\"}}}", "memory"},
		{"network without mask", "trustedProxies: [10.0.0.1]", "trustedProxies"},
		{"egress to every port", "services: {notify: {egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}}", "egress"},
		{"ratio above one", "telemetry: {sampleRatio: 5}", "sampleRatio"},
		{"TLS by name and Consul by address", "{tlsSecret: pods, consul: {address: \"consul:8501\"}}", "exclude each other"},
		{"level", "log: {level: loud}", "level"},
	} {
		values := map[string]any{}
		if err := yaml.Unmarshal([]byte(c.values), &values); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: helm template with %s = %v, want %s refused", c.name, c.values, err, c.want)
		}
	}
}

// TestChart_README: each value is explained, and nothing that is none.
func TestChart_README(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(chartDir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	values := valuesFile(t, chartDir+"/values.yaml")
	delete(values, "services") // they have the keys of defaults
	var keys []string
	for key, v := range values {
		section, ok := v.(map[string]any)
		if !ok || len(section) == 0 {
			keys = append(keys, key)
		}
		for inner := range section {
			keys = append(keys, key+"."+inner)
		}
	}
	for _, key := range keys {
		if !bytes.Contains(text, []byte("| `"+key+"`")) {
			t.Errorf("README.md explains no %s", key)
		}
	}
	for line := range strings.Lines(string(text)) {
		key, ok := strings.CutPrefix(line, "| `")
		if key, _, _ = strings.Cut(key, "`"); ok && strings.Contains(key, ".") && !slices.Contains(keys, key) && !strings.HasPrefix(key, "services.") {
			t.Errorf("README.md explains %s, which is no value", key)
		}
	}
}
