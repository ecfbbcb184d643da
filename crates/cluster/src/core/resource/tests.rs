use super::*;

/// What discovery of Kubernetes 1.34 says of every resource that is served: group version, name, kind, scope,
/// verbs by their letter (create, delete, delete collection `x`, get, list, patch, update, watch), short names,
/// `+` categories, `#` storage version hash.
pub(crate) const FACTS: &str = "\
v1 bindings Binding ns c
v1 configmaps ConfigMap ns cdxglpuw cm #qFsyl6wFWjQ=
v1 endpoints Endpoints ns cdxglpuw ep #fWeeMqaN/OA=
v1 events Event ns cdxglpuw ev #r2yiGXH7wu8=
v1 limitranges LimitRange ns cdxglpuw limits #EBKMFVe6cwo=
v1 namespaces Namespace - cdglpuw ns #Q3oi5N2YM8M=
v1 namespaces/finalize Namespace - u
v1 namespaces/status Namespace - gpu
v1 nodes Node - cdxglpuw no #XwShjMxG9Fs=
v1 nodes/proxy NodeProxyOptions - cdgpu
v1 nodes/status Node - gpu
v1 persistentvolumeclaims PersistentVolumeClaim ns cdxglpuw pvc #QWTyNDq0dC4=
v1 persistentvolumeclaims/status PersistentVolumeClaim ns gpu
v1 persistentvolumes PersistentVolume - cdxglpuw pv #HN/zwEC+JgM=
v1 persistentvolumes/status PersistentVolume - gpu
v1 pods Pod ns cdxglpuw po+all #xPOwRZ+Yhw8=
v1 pods/attach PodAttachOptions ns cg
v1 pods/binding Binding ns c
v1 pods/ephemeralcontainers Pod ns gpu
v1 pods/eviction policy/v1/Eviction ns c
v1 pods/exec PodExecOptions ns cg
v1 pods/log Pod ns g
v1 pods/portforward PodPortForwardOptions ns cg
v1 pods/proxy PodProxyOptions ns cdgpu
v1 pods/resize Pod ns gpu
v1 pods/status Pod ns gpu
v1 podtemplates PodTemplate ns cdxglpuw #LIXB2x4IFpk=
v1 replicationcontrollers ReplicationController ns cdxglpuw rc+all #Jond2If31h0=
v1 replicationcontrollers/scale autoscaling/v1/Scale ns gpu
v1 replicationcontrollers/status ReplicationController ns gpu
v1 resourcequotas ResourceQuota ns cdxglpuw quota #8uhSgffRX6w=
v1 resourcequotas/status ResourceQuota ns gpu
v1 secrets Secret ns cdxglpuw #S6u1pOWzb84=
v1 serviceaccounts ServiceAccount ns cdxglpuw sa #pbx9ZvyFpBE=
v1 serviceaccounts/token authentication.k8s.io/v1/TokenRequest ns c
v1 services Service ns cdxglpuw svc+all #0/CO1lhkEBI=
v1 services/proxy ServiceProxyOptions ns cdgpu
v1 services/status Service ns gpu
apiregistration.k8s.io/v1 apiservices APIService - cdxglpuw +api-extensions #InPBPD7+PqM=
apiregistration.k8s.io/v1 apiservices/status APIService - gpu
apps/v1 controllerrevisions ControllerRevision ns cdxglpuw #85nkx63pcBU=
apps/v1 daemonsets DaemonSet ns cdxglpuw ds+all #dd7pWHUlMKQ=
apps/v1 daemonsets/status DaemonSet ns gpu
apps/v1 deployments Deployment ns cdxglpuw deploy+all #8aSe+NMegvE=
apps/v1 deployments/scale autoscaling/v1/Scale ns gpu
apps/v1 deployments/status Deployment ns gpu
apps/v1 replicasets ReplicaSet ns cdxglpuw rs+all #P1RzHs8/mWQ=
apps/v1 replicasets/scale autoscaling/v1/Scale ns gpu
apps/v1 replicasets/status ReplicaSet ns gpu
apps/v1 statefulsets StatefulSet ns cdxglpuw sts+all #H+vl74LkKdo=
apps/v1 statefulsets/scale autoscaling/v1/Scale ns gpu
apps/v1 statefulsets/status StatefulSet ns gpu
events.k8s.io/v1 events Event ns cdxglpuw ev #r2yiGXH7wu8=
authentication.k8s.io/v1 selfsubjectreviews SelfSubjectReview - c
authentication.k8s.io/v1 tokenreviews TokenReview - c
authorization.k8s.io/v1 localsubjectaccessreviews LocalSubjectAccessReview ns c
authorization.k8s.io/v1 selfsubjectaccessreviews SelfSubjectAccessReview - c
authorization.k8s.io/v1 selfsubjectrulesreviews SelfSubjectRulesReview - c
authorization.k8s.io/v1 subjectaccessreviews SubjectAccessReview - c
autoscaling/v2 horizontalpodautoscalers HorizontalPodAutoscaler ns cdxglpuw hpa+all #qwQve8ut294=
autoscaling/v2 horizontalpodautoscalers/status HorizontalPodAutoscaler ns gpu
autoscaling/v1 horizontalpodautoscalers HorizontalPodAutoscaler ns cdxglpuw hpa+all #qwQve8ut294=
autoscaling/v1 horizontalpodautoscalers/status HorizontalPodAutoscaler ns gpu
batch/v1 cronjobs CronJob ns cdxglpuw cj+all #sd5LIXh4Fjs=
batch/v1 cronjobs/status CronJob ns gpu
batch/v1 jobs Job ns cdxglpuw +all #mudhfqk/qZY=
batch/v1 jobs/status Job ns gpu
certificates.k8s.io/v1 certificatesigningrequests CertificateSigningRequest - cdxglpuw csr #95fRKMXA+00=
certificates.k8s.io/v1 certificatesigningrequests/approval CertificateSigningRequest - gpu
certificates.k8s.io/v1 certificatesigningrequests/status CertificateSigningRequest - gpu
networking.k8s.io/v1 ingressclasses IngressClass - cdxglpuw #l/iqIbDgFyQ=
networking.k8s.io/v1 ingresses Ingress ns cdxglpuw ing #39NQlfNR+bo=
networking.k8s.io/v1 ingresses/status Ingress ns gpu
networking.k8s.io/v1 ipaddresses IPAddress - cdxglpuw ip #3f/plJFChNE=
networking.k8s.io/v1 networkpolicies NetworkPolicy ns cdxglpuw netpol #YpfwF18m1G8=
networking.k8s.io/v1 servicecidrs ServiceCIDR - cdxglpuw #gNLvruQhW2g=
networking.k8s.io/v1 servicecidrs/status ServiceCIDR - gpu
policy/v1 poddisruptionbudgets PodDisruptionBudget ns cdxglpuw pdb #EVWiDmWqyJw=
policy/v1 poddisruptionbudgets/status PodDisruptionBudget ns gpu
rbac.authorization.k8s.io/v1 clusterrolebindings ClusterRoleBinding - cdxglpuw #48tpQ8gZHFc=
rbac.authorization.k8s.io/v1 clusterroles ClusterRole - cdxglpuw #bYE5ZWDrJ44=
rbac.authorization.k8s.io/v1 rolebindings RoleBinding ns cdxglpuw #eGsCzGH6b1g=
rbac.authorization.k8s.io/v1 roles Role ns cdxglpuw #7FuwZcIIItM=
storage.k8s.io/v1 csidrivers CSIDriver - cdxglpuw #hL6j/rwBV5w=
storage.k8s.io/v1 csinodes CSINode - cdxglpuw #Pe62DkZtjuo=
storage.k8s.io/v1 csistoragecapacities CSIStorageCapacity ns cdxglpuw #xeVl+2Ly1kE=
storage.k8s.io/v1 storageclasses StorageClass - cdxglpuw sc #K+m6uJwbjGY=
storage.k8s.io/v1 volumeattachments VolumeAttachment - cdxglpuw #tJx/ezt6UDU=
storage.k8s.io/v1 volumeattachments/status VolumeAttachment - gpu
storage.k8s.io/v1 volumeattributesclasses VolumeAttributesClass - cdxglpuw vac #Bl3MtjZ/n/s=
admissionregistration.k8s.io/v1 mutatingwebhookconfigurations MutatingWebhookConfiguration - cdxglpuw +api-extensions #Sqi0GUgDaX0=
admissionregistration.k8s.io/v1 validatingadmissionpolicies ValidatingAdmissionPolicy - cdxglpuw +api-extensions #6OxvlMmQ6is=
admissionregistration.k8s.io/v1 validatingadmissionpolicies/status ValidatingAdmissionPolicy - gpu
admissionregistration.k8s.io/v1 validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding - cdxglpuw +api-extensions #v9715VZqakg=
admissionregistration.k8s.io/v1 validatingwebhookconfigurations ValidatingWebhookConfiguration - cdxglpuw +api-extensions #B0wHjQmsGNk=
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition - cdxglpuw crd,crds+api-extensions #jfWCUB31mvA=
apiextensions.k8s.io/v1 customresourcedefinitions/status CustomResourceDefinition - gpu
scheduling.k8s.io/v1 priorityclasses PriorityClass - cdxglpuw pc #1QwjyaZjj3Y=
coordination.k8s.io/v1 leases Lease ns cdxglpuw #gqkMMb/YqFM=
node.k8s.io/v1 runtimeclasses RuntimeClass - cdxglpuw #WQTu1GL3T2Q=
discovery.k8s.io/v1 endpointslices EndpointSlice ns cdxglpuw #qgS0xkrxYAI=
flowcontrol.apiserver.k8s.io/v1 flowschemas FlowSchema - cdxglpuw #GJVAJZSZBIw=
flowcontrol.apiserver.k8s.io/v1 flowschemas/status FlowSchema - gpu
flowcontrol.apiserver.k8s.io/v1 prioritylevelconfigurations PriorityLevelConfiguration - cdxglpuw #Kir5PVfvNeI=
flowcontrol.apiserver.k8s.io/v1 prioritylevelconfigurations/status PriorityLevelConfiguration - gpu
";

fn line(resource: &Resource) -> String {
    let names = resource.short_names.join(",");
    let categories =
        if resource.categories.is_empty() { String::new() } else { format!("+{}", resource.categories.join(",")) };
    fact(resource, &resource.plural, &resource.kind, &resource.verbs, &format!("{names}{categories}"))
}

fn fact(resource: &Resource, name: &str, kind: &str, verbs: &[String], rest: &str) -> String {
    let scope = if resource.namespaced() { "ns" } else { "-" };
    let verbs: String =
        verbs.iter().map(|verb| if verb == "deletecollection" { 'x' } else { verb.chars().next().unwrap() }).collect();
    format!("{} {name} {kind} {scope} {verbs} {rest}", resource.api_version()).trim_end().to_owned()
}

fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    for resource in builtin() {
        lines.push(line(&resource));
        for subresource in &resource.subresources {
            let kind = match &subresource.kind {
                None => resource.kind.clone(),
                Some((group, version, kind)) if *group == resource.group && *version == resource.version => {
                    kind.clone()
                }
                Some((group, version, kind)) => format!("{group}/{version}/{kind}"),
            };
            let name = format!("{}/{}", resource.plural, subresource.name);
            lines.push(fact(&resource, &name, &kind, &subresource.verbs, ""));
        }
    }
    lines
}

#[test]
fn rows_agree_with_upstream_discovery() {
    let facts: Vec<&str> =
        FACTS.lines().map(|line| line.split(" #").next().unwrap().split('#').next().unwrap().trim_end()).collect();
    assert_eq!(lines(), facts);
}

#[test]
fn both_event_resources_share_their_storage() {
    let prefixes: Vec<String> =
        builtin().iter().filter(|row| row.kind == "Event").map(|row| row.storage.clone()).collect();
    assert_eq!(prefixes, ["events", "events"]);
}

#[test]
fn no_other_two_resources_share_their_storage() {
    let is_alone =
        |row: &&ResourceRef| row.stored() && !["Event", "HorizontalPodAutoscaler"].contains(&row.kind.as_str());
    let mut prefixes: Vec<String> = builtin().iter().filter(is_alone).map(|row| row.storage.clone()).collect();
    prefixes.sort();
    let count = prefixes.len();
    prefixes.dedup();
    assert_eq!(prefixes.len(), count);
}

#[test]
fn resources_that_cannot_be_listed_are_not_stored() {
    for row in builtin() {
        assert_eq!(row.stored(), row.allows("list"), "{}", row.plural);
    }
}
