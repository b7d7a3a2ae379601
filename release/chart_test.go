package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// rendered is the chart of the release with values, decoded strictly: an unknown or
// misspelt key of a resource is an error.
type rendered struct {
	config    *corev1.ConfigMap
	service   *corev1.Service
	account   *corev1.ServiceAccount
	policy    *networkingv1.NetworkPolicy
	budget    *policyv1.PodDisruptionBudget
	monitor   *serviceMonitor
	one       *appsv1.StatefulSet
	many      *appsv1.Deployment
	pod       *corev1.PodTemplateSpec
	selector  map[string]string
	resources []metav1.Object
	notes     string
}

// serviceMonitor is what the chart uses of the Prometheus operator's resource: its Go
// types would bring the operator.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port          string `json:"port"`
			Path          string `json:"path"`
			Interval      string `json:"interval"`
			Scheme        string `json:"scheme"`
			Authorization struct {
				Credentials corev1.SecretKeySelector `json:"credentials"`
			} `json:"authorization"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// render returns an error of Helm or of the chart's own checks.
func render(t *testing.T, values string) (*rendered, error) {
	t.Helper()
	chart, err := loader.Load(setup(t).file(t, "muster-"+version+".tgz"))
	if err != nil {
		t.Fatal(err)
	}
	if chart.Metadata.Version != version || chart.Metadata.AppVersion != version {
		t.Errorf("the chart's version is %s, of %s", chart.Metadata.Version, chart.Metadata.AppVersion)
	}
	if err := chart.Validate(); err != nil {
		t.Error(err)
	}
	var given map[string]any
	if err := yaml.UnmarshalStrict([]byte(values), &given); err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(chart, given, common.ReleaseOptions{Name: "house", Namespace: "prod", IsInstall: true, Revision: 1}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	texts, err := engine.Engine{Strict: true}.RenderWithContext(t.Context(), chart, all)
	if err != nil {
		return nil, err
	}
	r := &rendered{}
	for path, text := range texts {
		switch {
		case strings.HasSuffix(path, "NOTES.txt"):
			r.notes = text
		case !strings.HasSuffix(path, ".tpl") && strings.TrimSpace(text) != "":
			r.decode(t, path, text)
		}
	}
	switch {
	case r.one != nil && r.many == nil:
		r.pod, r.selector = &r.one.Spec.Template, r.one.Spec.Selector.MatchLabels
	case r.many != nil && r.one == nil:
		r.pod, r.selector = &r.many.Spec.Template, r.many.Spec.Selector.MatchLabels
	default:
		t.Fatal("neither a StatefulSet nor a Deployment, or both")
	}
	return r, nil
}

func (r *rendered) decode(t *testing.T, path, text string) {
	t.Helper()
	b, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, text)
	}
	var kind metav1.TypeMeta
	if err := json.UnmarshalCaseSensitivePreserveInts(b, &kind); err != nil {
		t.Fatal(err)
	}
	into := func(x metav1.Object) {
		t.Helper()
		unknown, err := json.UnmarshalStrict(b, x)
		if err != nil || len(unknown) > 0 {
			t.Fatalf("%s: %v %v\n%s", path, err, unknown, text)
		}
		r.resources = append(r.resources, x)
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 ConfigMap":
		r.config = &corev1.ConfigMap{}
		into(r.config)
	case "v1 Service":
		r.service = &corev1.Service{}
		into(r.service)
	case "v1 ServiceAccount":
		r.account = &corev1.ServiceAccount{}
		into(r.account)
	case "networking.k8s.io/v1 NetworkPolicy":
		r.policy = &networkingv1.NetworkPolicy{}
		into(r.policy)
	case "policy/v1 PodDisruptionBudget":
		r.budget = &policyv1.PodDisruptionBudget{}
		into(r.budget)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		r.monitor = &serviceMonitor{}
		into(r.monitor)
	case "apps/v1 StatefulSet":
		r.one = &appsv1.StatefulSet{}
		into(r.one)
	case "apps/v1 Deployment":
		r.many = &appsv1.Deployment{}
		into(r.many)
	default:
		t.Fatalf("%s is a %s %s, which the chart should not need", path, kind.APIVersion, kind.Kind)
	}
}

// cases are values that people have, with what has to be there.
var cases = map[string]string{
	"sqlite": `
image: {repository: registry.example.net/muster}
config: {origin: muster.example.net/log}
`,
	"sqlite-all": `
image: {repository: registry.example.net/muster, digest: "sha256:` + strings.Repeat("ab", 32) + `", pullSecrets: [{name: pull}]}
config: {origin: muster.example.net/log, provider: "Example: Hosting", keeping: {zone: Asia/Kolkata}, mail: {server: "mail.example.net:587", from: codes@example.net, user: muster, password_file: /run/secrets/mail/password}}
init: {enabled: true, operator: "Ada: Obi", packs: [us-iaas-cip, in-cert-in]}
tls: {secret: muster-tls}
envoy: {enabled: true, port: 9422}
service: {type: LoadBalancer, port: 443, annotations: {example.net/internal: "true"}}
serviceMonitor: {enabled: true, tokenSecret: metrics-token, labels: {release: prometheus}}
networkPolicy: {from: [{namespaceSelector: {matchLabels: {team: edge}}}], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 587}]}]}
sqlite: {data: {size: 100Gi, storageClass: fast}, keys: {storageClass: sealed}}
extraVolumes: [{name: mail, secret: {secretName: mail, defaultMode: 288}}]
extraVolumeMounts: [{name: mail, mountPath: /run/secrets/mail, readOnly: true}]
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy.example.net:3128"}]
podAnnotations: {a: b}
podLabels: {c: d}
nodeSelector: {disk: local}
tolerations: [{key: pii, operator: Exists}]
priorityClassName: high
`,
	"sqlite-key": `
image: {repository: registry.example.net/muster, tag: other}
config: {origin: muster.example.net/log}
rootKey: {secret: root}
serviceAccount: {create: false, name: ours}
fullnameOverride: a-name-that-is-much-longer-than-what-a-label-of-a-domain-name-may-be
`,
	"postgresql": `
image: {repository: registry.example.net/muster}
config: {origin: muster.example.net/log}
postgresql: {enabled: true, secret: databases, databaseKey: data.dsn, keyDatabaseKey: keys.dsn}
rootKey: {secret: root, key: muster.key}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app.kubernetes.io/name: muster}}}]
`,
	"postgresql-kms": `
image: {repository: registry.example.net/muster}
config: {origin: muster.example.net/log, root_key: "kms:aws", kms: {aws: {key: alias/muster}}}
postgresql: {enabled: true, secret: databases, replicas: 1}
networkPolicy: {enabled: false}
nameOverride: cip
`,
}

func TestChartInManyShapes(t *testing.T) {
	t.Parallel()
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := render(t, values)
			if err != nil {
				t.Fatal(err)
			}
			r.checkNames(t)
			r.checkPorts(t)
			r.checkVolumes(t)
			r.checkRestricted(t)
			r.checkConfig(t, setupContainer(t, setup(t)))
		})
	}
}

func TestChartMakesWhatTheValuesAskFor(t *testing.T) {
	t.Parallel()
	get := func(name string) *rendered {
		t.Helper()
		r, err := render(t, cases[name])
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := get("sqlite")
	image := func(r *rendered) string { return r.pod.Spec.Containers[0].Image }
	if r.one == nil || *r.one.Spec.Replicas != 1 || r.budget != nil || r.monitor != nil || r.policy == nil || r.account == nil || len(r.pod.Spec.InitContainers) != 0 || image(r) != "registry.example.net/muster:"+version {
		t.Errorf("sqlite: %+v", r)
	}
	if claims := r.one.Spec.VolumeClaimTemplates; len(claims) != 2 || claims[0].Name != "data" || claims[1].Name != "keys" || claims[0].Spec.StorageClassName != nil {
		t.Errorf("sqlite: %+v", claims)
	}
	r = get("sqlite-all")
	if len(r.pod.Spec.InitContainers) != 1 || r.monitor == nil || r.monitor.Spec.Endpoints[0].Scheme != "https" || r.pod.Spec.Containers[0].ReadinessProbe.HTTPGet.Scheme != "HTTPS" || !strings.Contains(image(r), "/muster@sha256:abab") {
		t.Errorf("sqlite-all: %+v", r)
	}
	if size := r.one.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().String(); size != "100Gi" || *r.one.Spec.VolumeClaimTemplates[1].Spec.StorageClassName != "sealed" {
		t.Errorf("sqlite-all: data of %s", size)
	}
	if len(r.policy.Spec.Ingress[0].From) != 1 || len(r.policy.Spec.Egress) != 2 || !strings.Contains(r.notes, "muster token create") {
		t.Errorf("sqlite-all: %+v\n%s", r.policy, r.notes)
	}
	r = get("sqlite-key")
	if r.account != nil || r.pod.Spec.ServiceAccountName != "ours" || image(r) != "registry.example.net/muster:other" {
		t.Errorf("sqlite-key: %+v", r.pod)
	}
	r = get("postgresql")
	if r.many == nil || *r.many.Spec.Replicas != 3 || r.budget == nil || r.many.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 {
		t.Errorf("postgresql: %+v", r)
	}
	if get("postgresql-kms").budget != nil {
		t.Error("a budget for one pod keeps its node from being drained")
	}
}

func TestChartRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	base := "image: {repository: r}\nconfig: {origin: o}\n"
	for values, want := range map[string]string{
		"config: {origin: o}\n":     "repository",
		"image: {repository: r}\n":  "origin",
		base + "replicas: 2\n":      "replicas",
		base + "service: {prot: 1}": "prot",
		base + "image2: {}\n":       "image2",
		"image: {repository: r}\nconfig: {origin: o, listen: ':1'}\n":                                  "listen",
		base + "postgresql: {enabled: true, secret: s}\n":                                              "root key",
		base + "postgresql: {enabled: true}\nrootKey: {secret: s}\n":                                   "two DSNs",
		base + "postgresql: {enabled: true, secret: s}\nrootKey: {secret: s}\ninit: {enabled: true}\n": "init.enabled is for SQLite",
		"image: {repository: r}\nconfig: {origin: o, root_key: x}\nrootKey: {secret: s}\n":             "two root keys",
		base + "serviceMonitor: {enabled: true}\n":                                                     "tokenSecret",
		base + "rootKey: {secret: s}\ninit: {enabled: true}\n":                                         "not with rootKey.secret",
	} {
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nis not refused for %q: %v", values, want, err)
		}
	}
}

// within reports that every pair of a is one of b.
func within(a, b map[string]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) > 0
}

func (r *rendered) checkNames(t *testing.T) {
	t.Helper()
	for _, x := range r.resources {
		if x.GetName() == "" || len(x.GetName()) > 63 || !within(r.selector, x.GetLabels()) || x.GetLabels()["app.kubernetes.io/version"] != version {
			t.Errorf("%T %q has labels %v", x, x.GetName(), x.GetLabels())
		}
	}
	if !within(r.selector, r.pod.Labels) || !within(r.service.Spec.Selector, r.pod.Labels) {
		t.Errorf("pods with %v are not selected", r.pod.Labels)
	}
	if r.policy != nil && !within(r.policy.Spec.PodSelector.MatchLabels, r.pod.Labels) {
		t.Error("the network policy is for other pods")
	}
	if r.budget != nil && !within(r.budget.Spec.Selector.MatchLabels, r.pod.Labels) {
		t.Error("the budget is for other pods")
	}
	if r.monitor != nil && !within(r.monitor.Spec.Selector.MatchLabels, r.service.Labels) {
		t.Error("the monitor is for another service")
	}
	if r.account != nil && r.account.Name != r.pod.Spec.ServiceAccountName {
		t.Error("the account is not the pod's")
	}
	if r.one != nil && r.one.Spec.ServiceName != r.service.Name {
		t.Error("the StatefulSet has another service")
	}
}

func (r *rendered) checkPorts(t *testing.T) {
	t.Helper()
	main := r.pod.Spec.Containers[0]
	ports := map[string]int32{}
	for _, p := range main.Ports {
		ports[p.Name] = p.ContainerPort
	}
	has := func(what string, p intstr.IntOrString) {
		t.Helper()
		if p.Type != intstr.String || ports[p.StrVal] == 0 {
			t.Errorf("%s goes to the port %s, which the container has not", what, p.String())
		}
	}
	served := map[string]bool{}
	for _, p := range r.service.Spec.Ports {
		has("the service", p.TargetPort)
		served[p.Name] = true
	}
	for _, p := range []*corev1.Probe{main.StartupProbe, main.LivenessProbe, main.ReadinessProbe} {
		has("a probe", p.HTTPGet.Port)
	}
	if r.policy != nil {
		for _, p := range r.policy.Spec.Ingress[0].Ports {
			has("the network policy", *p.Port)
		}
		if len(r.policy.Spec.Ingress[0].Ports) != len(ports) || len(r.policy.Spec.PolicyTypes) != 2 {
			t.Error("the network policy is for other ports")
		}
	}
	if r.monitor != nil && !served[r.monitor.Spec.Endpoints[0].Port] {
		t.Error("the monitor asks a port that the service has not")
	}
	config := r.muster(t)
	if config["listen"] != fmt.Sprintf(":%d", ports["api"]) {
		t.Errorf("it listens on %v and the port is %d", config["listen"], ports["api"])
	}
	if envoy, ok := config["envoy"]; ok != (ports["envoy"] != 0) || ok && envoy != fmt.Sprintf(":%d", ports["envoy"]) {
		t.Errorf("it answers Envoy on %v and the port is %d", envoy, ports["envoy"])
	}
}

// muster is the configuration that the chart writes.
func (r *rendered) muster(t *testing.T) (c map[string]any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(r.config.Data["muster.yaml"]), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *rendered) checkVolumes(t *testing.T) {
	t.Helper()
	there := map[string]bool{}
	for _, v := range r.pod.Spec.Volumes {
		there[v.Name] = true
		if v.ConfigMap != nil && v.ConfigMap.Name != r.config.Name {
			t.Error("the configuration of another release is mounted")
		}
		if v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o440) {
			t.Errorf("the secret %s is readable by others", v.Name)
		}
	}
	if r.one != nil {
		for _, c := range r.one.Spec.VolumeClaimTemplates {
			there[c.Name] = true
		}
	}
	used, paths := map[string]bool{}, []string{}
	for _, m := range r.pod.Spec.Containers[0].VolumeMounts {
		if !there[m.Name] || slices.Contains(paths, m.MountPath) {
			t.Errorf("the mount %s at %s has no volume, or is there twice", m.Name, m.MountPath)
		}
		used[m.Name], paths = true, append(paths, m.MountPath)
	}
	for name := range there {
		if !used[name] {
			t.Errorf("nothing mounts the volume %s", name)
		}
	}
	// Every file that the configuration names lies on a mount.
	var walk func(x any)
	walk = func(x any) {
		switch x := x.(type) {
		case map[string]any:
			for _, v := range x {
				walk(v)
			}
		case string:
			if strings.HasPrefix(x, "/") && !slices.ContainsFunc(paths, func(p string) bool { return x == p || strings.HasPrefix(x, p+"/") }) {
				t.Errorf("%s is not on a volume", x)
			}
		}
	}
	walk(r.muster(t))
}

// checkRestricted holds the pod against the profile "restricted" of the Pod Security
// Standards, and some.
func (r *rendered) checkRestricted(t *testing.T) {
	t.Helper()
	p := r.pod.Spec
	if p.HostNetwork || p.HostPID || p.HostIPC || p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
		t.Error("the pod reaches into the node or the cluster")
	}
	if s := p.SecurityContext; !*s.RunAsNonRoot || *s.RunAsUser != nobody || *s.FSGroup != nobody || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%+v", s)
	}
	for _, v := range p.Volumes {
		if v.HostPath != nil {
			t.Errorf("the volume %s is the node's", v.Name)
		}
	}
	for _, c := range append(slices.Clone(p.InitContainers), p.Containers...) {
		s := c.SecurityContext
		if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" || s.Privileged != nil || len(s.Capabilities.Add) > 0 {
			t.Errorf("%s: %+v", c.Name, s)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s has no bounds", c.Name)
		}
	}
}

// mount puts the pod's volumes into a container, as a kubelet does: secrets and maps
// are root's and readable by the pod's group, volumes belong to the group.
func (r *rendered) mount(t *testing.T, c *container, secrets map[string]map[string]string) {
	t.Helper()
	volumes := map[string]corev1.Volume{}
	for _, v := range r.pod.Spec.Volumes {
		volumes[v.Name] = v
	}
	for _, m := range r.pod.Spec.Containers[0].VolumeMounts {
		v := volumes[m.Name]
		switch {
		case v.ConfigMap != nil:
			c.dir(m.MountPath, 0o755, 0)
			for name, text := range r.config.Data {
				c.file(filepath.Join(m.MountPath, name), []byte(text), 0o644, 0)
			}
		case v.Secret != nil:
			c.dir(m.MountPath, 0o755, 0)
			paths := map[string]string{}
			for key := range secrets[v.Secret.SecretName] {
				paths[key] = key
			}
			for _, item := range v.Secret.Items {
				paths[item.Key] = item.Path
			}
			for key, path := range paths {
				text, ok := secrets[v.Secret.SecretName][key]
				if !ok {
					t.Errorf("the secret %s has no %s", v.Secret.SecretName, key)
				}
				c.file(filepath.Join(m.MountPath, path), []byte(text), 0o440, 0)
				c.group(filepath.Join(m.MountPath, path))
			}
		default: // a claim or an empty directory
			c.dir(m.MountPath, 0o2770, 0)
			c.group(m.MountPath)
		}
	}
}

// checkConfig has the program itself read what the chart wrote, where it will read it.
func (r *rendered) checkConfig(t *testing.T, c *container) {
	t.Helper()
	r.mount(t, c, map[string]map[string]string{
		"databases":  {"data.dsn": "postgres:///a", "keys.dsn": "postgres:///b", "database": "postgres:///a", "keys": "postgres:///b"},
		"root":       {"root.key": "k", "muster.key": "k"},
		"muster-tls": {"tls.crt": "c", "tls.key": "k"},
		"mail":       {"password": "p"},
	})
	// What it finds beyond the configuration is not there: its exit code says so.
	out, _ := c.command(t.Context(), nil, "doctor", "--json").Output()
	if !bytes.Contains(out, []byte(`"check":"configuration","state":"ok"`)) && !bytes.Contains(out, []byte(`"check": "configuration",`+"\n"+`      "state": "ok"`)) {
		t.Errorf("the configuration is not read:\n%s\n%s", r.config.Data["muster.yaml"], out)
	}
}
