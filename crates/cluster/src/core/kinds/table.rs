//! The table of strategies: one row a built-in kind.
//!
//! A further kind is a row here and functions beside it; nothing else knows which kinds there are.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::meta::{Finalizers, MetaRules};
use super::names::NameRule;
use super::strategy::{
    Bump, Context, Status, Step, Strategy, keep_spec, keep_status, no_default, no_prepare, no_prepare_update,
    no_validate, no_validate_update, no_warn, warn_host_name,
};
use super::value::{get, put};
use super::{
    admission_policies, api_service, apps, budget, certificates, config, endpoint_slice, endpoints, flow_control,
    ingress, jobs, namespace, network, node, persistent_volume, pod, quota, rbac, scaling, service, small, storage,
    storage_claims, webhooks,
};
use crate::core::field::ErrorList;

use Step::{Change, Meta, MetaUpdate, Object, ObjectOnUpdate};

const NAMESPACED: MetaRules =
    MetaRules { namespaced: true, name: NameRule::Subdomain, finalizers: Finalizers::StandardOrQualified };
const CLUSTER: MetaRules = MetaRules { namespaced: false, ..NAMESPACED };

/// A kind with no rules but those of metadata.
const PLAIN: Strategy = Strategy {
    group: "",
    kind: "",
    meta: NAMESPACED,
    checks_meta: true,
    generation: false,
    bump: Bump::Never,
    create_on_update: false,
    unconditional_update: true,
    default: no_default,
    prepare: no_prepare,
    prepare_update: no_prepare_update,
    validate: no_validate,
    validate_update: no_validate_update,
    validate_on_update: no_validate_update,
    update_steps: &[MetaUpdate, Meta, Object, Change],
    warn: no_warn,
    status: None,
};

/// A kind that counts changes of its specification.
const COUNTED: Strategy = Strategy { generation: true, bump: Bump::Field("spec"), ..PLAIN };

const STATUS: Status =
    Status { prepare: keep_spec, validate: no_validate_update, steps: &[MetaUpdate, Change], empty: Some("{}") };

/// A kind with a status that only its controller writes.
const WITH_STATUS: Strategy = Strategy { prepare_update: keep_status, status: Some(STATUS), ..PLAIN };
const COUNTED_WITH_STATUS: Strategy = Strategy { generation: true, bump: Bump::Field("spec"), ..WITH_STATUS };

const WORKLOAD: Strategy = Strategy {
    group: "apps",
    prepare: apps::prepare_create,
    prepare_update: apps::prepare_update,
    update_steps: &[MetaUpdate, Object, Change],
    ..COUNTED_WITH_STATUS
};

const BINDING_STEPS: &[Step] = &[Meta, Object, Meta, Object, MetaUpdate, Change];

/// One row a kind that has rules of its own.
pub static TABLE: &[Strategy] = &[
    Strategy {
        kind: "ConfigMap",
        validate: config::validate_config_map,
        validate_update: config::validate_config_map_update,
        update_steps: &[MetaUpdate, Change, Meta, Object],
        ..PLAIN
    },
    Strategy {
        kind: "Secret",
        default: config::default_secret,
        prepare_update: config::prepare_secret_update,
        validate: config::validate_secret,
        validate_update: config::validate_secret_update,
        update_steps: &[MetaUpdate, Change, Meta, Object],
        warn: config::warn_secret,
        ..PLAIN
    },
    Strategy {
        kind: "Namespace",
        meta: MetaRules { name: NameRule::Label, ..CLUSTER },
        default: namespace::default_namespace,
        prepare: namespace::prepare_namespace,
        prepare_update: namespace::prepare_namespace_update,
        validate: namespace::validate_namespace,
        update_steps: &[Meta, Object, MetaUpdate],
        status: Some(Status { validate: namespace::validate_namespace_status, empty: None, ..STATUS }),
        ..WITH_STATUS
    },
    Strategy {
        kind: "Node",
        meta: CLUSTER,
        default: node::default_node,
        prepare: node::prepare_node,
        prepare_update: node::prepare_node_update,
        validate: node::validate_node,
        validate_update: node::validate_node_update,
        update_steps: &[Meta, Object, MetaUpdate, Change],
        warn: node::warn_node,
        status: Some(Status { validate: node::validate_node_update, empty: None, ..STATUS }),
        ..WITH_STATUS
    },
    Strategy {
        kind: "ServiceAccount",
        prepare: config::prepare_service_account,
        prepare_update: config::prepare_service_account_update,
        warn: config::warn_service_account,
        ..PLAIN
    },
    Strategy {
        kind: "Endpoints",
        create_on_update: true,
        default: endpoints::default_endpoints,
        validate: endpoints::validate_endpoints,
        validate_on_update: endpoints::validate_endpoints_update,
        update_steps: &[MetaUpdate, Meta, ObjectOnUpdate],
        warn: endpoints::warn_endpoints,
        ..PLAIN
    },
    Strategy {
        kind: "Service",
        meta: MetaRules { name: NameRule::Label1035, ..NAMESPACED },
        create_on_update: true,
        default: service::defaults,
        prepare: service::prepare_create,
        prepare_update: service::prepare_update,
        validate: service::validate_create,
        validate_update: service::validate_update,
        update_steps: &[MetaUpdate, Change],
        warn: service::warn,
        status: Some(Status { validate: service::validate_status, empty: None, ..STATUS }),
        ..WITH_STATUS
    },
    Strategy {
        kind: "Pod",
        generation: true,
        bump: Bump::Own,
        default: pod::defaults::pod,
        prepare: pod::prepare_create,
        prepare_update: prepare_pod_update,
        validate: pod::validate_create,
        validate_update: pod::update::validate,
        update_steps: &[Change],
        warn: warn_pod,
        status: Some(Status {
            prepare: prepare_pod_status,
            validate: pod::status::validate,
            steps: &[Change],
            empty: None,
        }),
        ..WITH_STATUS
    },
    Strategy {
        kind: "PodTemplate",
        generation: true,
        bump: Bump::Field("template"),
        default: pod::default_pod_template,
        prepare: prepare_pod_template,
        prepare_update: prepare_pod_template_update,
        validate: pod::validate_pod_template,
        update_steps: &[MetaUpdate, Object],
        warn: warn_pod_template,
        ..PLAIN
    },
    Strategy {
        group: "",
        kind: "ReplicationController",
        default: apps::default_replication_controller,
        validate: apps::validate_replication_controller,
        update_steps: &[Meta, Object, MetaUpdate, Object],
        warn: apps::warn,
        status: Some(Status {
            validate: apps::status::validate_replica_set_status,
            empty: Some(r#"{"replicas":0}"#),
            ..STATUS
        }),
        ..WORKLOAD
    },
    Strategy {
        kind: "PersistentVolumeClaim",
        default: storage_claims::default_claim,
        prepare: storage_claims::prepare_claim,
        prepare_update: storage_claims::prepare_claim_update,
        validate: storage_claims::validate_claim,
        validate_update: storage_claims::validate_claim_update,
        update_steps: &[Meta, Object, MetaUpdate, Meta, Object, Change],
        warn: storage_claims::warn_claim,
        status: Some(Status { validate: storage_claims::validate_claim_status, empty: None, ..STATUS }),
        ..WITH_STATUS
    },
    Strategy {
        kind: "PersistentVolume",
        meta: CLUSTER,
        default: persistent_volume::default_volume,
        prepare: persistent_volume::prepare_volume,
        validate: persistent_volume::validate_volume,
        validate_update: persistent_volume::validate_volume_update,
        update_steps: &[Meta, Object, Meta, Object, Change],
        warn: persistent_volume::warn_volume,
        status: Some(Status {
            prepare: persistent_volume::prepare_volume_status,
            validate: persistent_volume::validate_volume_status,
            empty: None,
            ..STATUS
        }),
        ..WITH_STATUS
    },
    Strategy {
        kind: "ResourceQuota",
        prepare: quota::prepare_quota,
        validate: quota::validate_quota,
        validate_update: quota::validate_quota_update,
        update_steps: &[MetaUpdate, Object, Change],
        status: Some(Status { validate: quota::validate_quota_status, ..STATUS }),
        ..WITH_STATUS
    },
    Strategy {
        kind: "LimitRange",
        create_on_update: true,
        default: quota::default_limit_range,
        validate: quota::validate_limit_range,
        update_steps: &[Meta, Object],
        ..PLAIN
    },
    Strategy {
        kind: "Event",
        checks_meta: false,
        create_on_update: true,
        default: small::default_event,
        validate: core_event,
        validate_update: core_event_update,
        update_steps: &[Change],
        ..PLAIN
    },
    Strategy {
        group: "events.k8s.io",
        kind: "Event",
        checks_meta: false,
        create_on_update: true,
        default: small::default_event,
        validate: new_event,
        validate_update: new_event_update,
        update_steps: &[Change],
        ..PLAIN
    },
    Strategy {
        kind: "Deployment",
        bump: Bump::Own,
        default: apps::default_deployment,
        prepare_update: apps::prepare_deployment_update,
        validate: apps::validate_deployment,
        validate_update: apps::selector_is_immutable,
        warn: apps::warn,
        status: Some(Status {
            prepare: apps::prepare_deployment_status,
            validate: apps::status::validate_deployment_status,
            ..STATUS
        }),
        ..WORKLOAD
    },
    Strategy {
        kind: "ReplicaSet",
        default: apps::default_replica_set,
        validate: apps::validate_replica_set,
        validate_update: apps::selector_is_immutable,
        warn: apps::warn,
        status: Some(Status {
            prepare: apps::prepare_replica_set_status,
            validate: apps::status::validate_replica_set_status,
            empty: Some(r#"{"replicas":0}"#),
            ..STATUS
        }),
        ..WORKLOAD
    },
    Strategy {
        kind: "StatefulSet",
        meta: MetaRules { name: NameRule::Label, ..NAMESPACED },
        default: apps::stateful_set::default_stateful_set,
        prepare: apps::stateful_set::prepare_stateful_set,
        prepare_update: apps::stateful_set::prepare_stateful_set_update,
        validate: apps::stateful_set::validate_stateful_set,
        validate_update: apps::stateful_set::validate_stateful_set_update,
        update_steps: &[MetaUpdate, Change],
        warn: apps::stateful_set::warn_stateful_set,
        status: Some(Status {
            validate: apps::status::validate_stateful_set_status,
            steps: &[Change, MetaUpdate],
            empty: Some(r#"{"availableReplicas":0,"replicas":0}"#),
            ..STATUS
        }),
        ..WORKLOAD
    },
    Strategy {
        kind: "DaemonSet",
        bump: Bump::Own,
        default: apps::daemon_set::default_daemon_set,
        prepare: apps::daemon_set::prepare_daemon_set,
        prepare_update: apps::daemon_set::prepare_daemon_set_update,
        validate: apps::daemon_set::validate_daemon_set,
        validate_update: apps::selector_is_immutable,
        update_steps: &[MetaUpdate, Change, Object],
        warn: apps::warn_template_only,
        status: Some(Status {
            validate: apps::status::validate_daemon_set_status,
            empty: Some(
                r#"{"currentNumberScheduled":0,"desiredNumberScheduled":0,"numberMisscheduled":0,"numberReady":0}"#,
            ),
            ..STATUS
        }),
        ..WORKLOAD
    },
    Strategy {
        group: "apps",
        kind: "ControllerRevision",
        validate: apps::validate_controller_revision,
        validate_update: apps::validate_controller_revision_update,
        update_steps: &[MetaUpdate, Meta, Change],
        ..PLAIN
    },
    Strategy {
        group: "batch",
        kind: "Job",
        default: jobs::default_job,
        prepare: jobs::prepare_job,
        prepare_update: jobs::prepare_job_update,
        validate: jobs::validate_job,
        validate_update: jobs::validate_job_update,
        validate_on_update: jobs::validate_job_on_update,
        update_steps: &[Meta, ObjectOnUpdate, MetaUpdate, Change],
        warn: jobs::warn_job,
        status: Some(Status {
            prepare: jobs::prepare_job_status,
            validate: jobs::status::validate_job_status,
            ..STATUS
        }),
        ..WORKLOAD
    },
    Strategy {
        group: "batch",
        kind: "CronJob",
        default: jobs::cron_job::default_cron_job,
        prepare: jobs::cron_job::prepare_cron_job,
        prepare_update: jobs::cron_job::prepare_cron_job_update,
        validate: jobs::cron_job::validate_cron_job,
        validate_update: jobs::cron_job::validate_cron_job_update,
        update_steps: &[MetaUpdate, Change],
        warn: jobs::cron_job::warn_cron_job,
        status: Some(Status { steps: &[], ..STATUS }),
        ..WORKLOAD
    },
    Strategy {
        group: "autoscaling",
        kind: "HorizontalPodAutoscaler",
        default: scaling::defaults,
        prepare: scaling::prepare,
        prepare_update: scaling::prepare_update,
        validate: scaling::validate,
        validate_update: scaling::validate_update,
        update_steps: &[MetaUpdate, Change],
        status: Some(Status { validate: scaling::validate_status, empty: None, ..STATUS }),
        ..WITH_STATUS
    },
    Strategy {
        group: "policy",
        kind: "PodDisruptionBudget",
        checks_meta: false,
        unconditional_update: false,
        validate: budget::validate,
        update_steps: &[Object],
        status: Some(Status {
            validate: budget::validate_status,
            steps: &[Change],
            empty: Some(r#"{"currentHealthy":0,"desiredHealthy":0,"disruptionsAllowed":0,"expectedPods":0}"#),
            ..STATUS
        }),
        ..COUNTED_WITH_STATUS
    },
    Strategy {
        group: "networking.k8s.io",
        kind: "Ingress",
        default: ingress::default_ingress,
        prepare: ingress::prepare_ingress,
        validate: ingress::validate_ingress_create,
        validate_on_update: ingress_on_update,
        update_steps: &[MetaUpdate, Meta, ObjectOnUpdate],
        warn: ingress::warn_ingress,
        status: Some(Status { validate: ingress::validate_ingress_status, empty: None, ..STATUS }),
        ..COUNTED_WITH_STATUS
    },
    Strategy {
        group: "networking.k8s.io",
        kind: "IngressClass",
        meta: CLUSTER,
        default: ingress::default_ingress_class,
        validate: ingress::validate_ingress_class,
        validate_update: ingress::validate_ingress_class_update,
        update_steps: &[MetaUpdate, Change, Meta, Object],
        ..COUNTED
    },
    Strategy {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        default: network::default_network_policy,
        validate: network::validate_network_policy,
        update_steps: &[Meta, Object, MetaUpdate, Object],
        warn: network::warn_network_policy,
        ..COUNTED
    },
    Strategy {
        group: "networking.k8s.io",
        kind: "IPAddress",
        meta: MetaRules { name: NameRule::IpAddress, ..CLUSTER },
        validate: network::validate_ip_address,
        validate_update: network::validate_ip_address_update,
        update_steps: &[Meta, Object, MetaUpdate, Change],
        ..PLAIN
    },
    Strategy {
        group: "networking.k8s.io",
        kind: "ServiceCIDR",
        meta: CLUSTER,
        prepare_update: no_prepare_update,
        validate: network::validate_service_cidr,
        validate_update: network::validate_service_cidr_update,
        update_steps: &[MetaUpdate, Change],
        status: Some(Status { prepare: network::prepare_service_cidr_status, empty: None, ..STATUS }),
        ..WITH_STATUS
    },
    Strategy {
        group: "discovery.k8s.io",
        kind: "EndpointSlice",
        generation: true,
        bump: Bump::Own,
        default: endpoint_slice::default_endpoint_slice,
        prepare: endpoint_slice::prepare_endpoint_slice,
        prepare_update: endpoint_slice::prepare_endpoint_slice_update,
        validate: endpoint_slice::validate_endpoint_slice,
        validate_update: endpoint_slice::validate_endpoint_slice_update,
        update_steps: &[Meta, Change],
        warn: endpoint_slice::warn_endpoint_slice,
        ..PLAIN
    },
    Strategy {
        group: "coordination.k8s.io",
        kind: "Lease",
        create_on_update: true,
        unconditional_update: false,
        prepare: small::prepare_lease,
        prepare_update: small::prepare_lease_update,
        validate: small::validate_lease,
        update_steps: &[MetaUpdate, Object],
        ..PLAIN
    },
    Strategy {
        group: "scheduling.k8s.io",
        kind: "PriorityClass",
        meta: CLUSTER,
        generation: true,
        default: small::default_priority_class,
        validate: small::validate_priority_class,
        validate_update: small::validate_priority_class_update,
        update_steps: &[MetaUpdate, Change],
        ..PLAIN
    },
    Strategy {
        group: "node.k8s.io",
        kind: "RuntimeClass",
        meta: CLUSTER,
        create_on_update: true,
        unconditional_update: false,
        validate: small::validate_runtime_class,
        validate_update: small::validate_runtime_class_update,
        update_steps: &[Meta, Object, MetaUpdate, Change],
        warn: small::warn_runtime_class,
        ..PLAIN
    },
    Strategy {
        group: "rbac.authorization.k8s.io",
        kind: "Role",
        meta: MetaRules { name: NameRule::PathSegment, ..NAMESPACED },
        create_on_update: true,
        default: rbac::default_role,
        validate: rbac::validate_role,
        update_steps: BINDING_STEPS,
        ..PLAIN
    },
    Strategy {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        meta: MetaRules { name: NameRule::PathSegment, ..CLUSTER },
        create_on_update: true,
        default: rbac::default_role,
        validate: rbac::validate_cluster_role,
        update_steps: BINDING_STEPS,
        ..PLAIN
    },
    Strategy {
        group: "rbac.authorization.k8s.io",
        kind: "RoleBinding",
        meta: MetaRules { name: NameRule::PathSegment, ..NAMESPACED },
        create_on_update: true,
        default: rbac::default_binding,
        validate: rbac::validate_role_binding,
        validate_update: rbac::validate_binding_update,
        update_steps: BINDING_STEPS,
        ..PLAIN
    },
    Strategy {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRoleBinding",
        meta: MetaRules { name: NameRule::PathSegment, ..CLUSTER },
        create_on_update: true,
        default: rbac::default_binding,
        validate: rbac::validate_cluster_role_binding,
        validate_update: rbac::validate_binding_update,
        update_steps: BINDING_STEPS,
        ..PLAIN
    },
    Strategy {
        group: "storage.k8s.io",
        kind: "StorageClass",
        meta: CLUSTER,
        default: storage::default_class,
        validate: storage::validate_class,
        validate_update: storage::validate_class_update,
        update_steps: &[Meta, Object, MetaUpdate, Change],
        warn: storage::warn_class,
        ..PLAIN
    },
    Strategy {
        group: "storage.k8s.io",
        kind: "VolumeAttributesClass",
        meta: CLUSTER,
        validate: storage::validate_attributes,
        validate_update: storage::validate_attributes_update,
        update_steps: &[Meta, Object, MetaUpdate, Change, Meta, Object],
        ..PLAIN
    },
    Strategy {
        group: "storage.k8s.io",
        kind: "VolumeAttachment",
        meta: CLUSTER,
        unconditional_update: false,
        prepare: storage::prepare_attachment,
        validate: storage::validate_attachment_create,
        validate_update: storage::validate_attachment_update,
        validate_on_update: attachment_on_update,
        update_steps: &[Meta, ObjectOnUpdate, Meta, ObjectOnUpdate, Change],
        status: Some(Status {
            prepare: storage::prepare_attachment_status,
            validate: storage::validate_attachment_update,
            steps: &[Meta, ObjectOnUpdate, Meta, ObjectOnUpdate, Change],
            empty: None,
        }),
        ..WITH_STATUS
    },
    Strategy {
        group: "storage.k8s.io",
        kind: "CSIDriver",
        meta: CLUSTER,
        unconditional_update: false,
        bump: Bump::Field("spec"),
        default: storage::default_driver,
        prepare: storage::prepare_driver,
        prepare_update: storage::prepare_driver_update,
        validate: storage::validate_driver,
        validate_update: storage::validate_driver_update,
        update_steps: &[MetaUpdate, Object, Change],
        ..PLAIN
    },
    Strategy {
        group: "storage.k8s.io",
        kind: "CSINode",
        meta: CLUSTER,
        unconditional_update: false,
        validate: storage::validate_node,
        validate_update: storage::validate_node_update,
        update_steps: &[Meta, Object, Meta, Object, Change],
        ..PLAIN
    },
    Strategy {
        group: "storage.k8s.io",
        kind: "CSIStorageCapacity",
        unconditional_update: false,
        validate: storage::validate_capacity,
        validate_update: storage::validate_capacity_update,
        update_steps: &[Meta, Object, MetaUpdate, Change],
        warn: storage::warn_capacity,
        ..PLAIN
    },
    Strategy {
        group: "certificates.k8s.io",
        kind: "CertificateSigningRequest",
        meta: MetaRules { name: NameRule::Any, ..CLUSTER },
        prepare: certificates::prepare,
        prepare_update: certificates::prepare_update,
        validate: certificates::validate,
        validate_update: certificates::validate_update,
        update_steps: &[Meta, Change, MetaUpdate],
        status: Some(Status {
            prepare: certificates::prepare_status,
            validate: certificates::validate_status,
            steps: &[Meta, Change, MetaUpdate],
            empty: None,
        }),
        ..WITH_STATUS
    },
    Strategy {
        group: "admissionregistration.k8s.io",
        kind: "ValidatingWebhookConfiguration",
        meta: MetaRules { finalizers: Finalizers::Qualified, ..CLUSTER },
        unconditional_update: false,
        generation: true,
        bump: Bump::Own,
        default: webhooks::default_validating,
        prepare_update: webhooks::prepare_update,
        validate: webhooks::validate_validating,
        update_steps: &[Meta, Object],
        ..PLAIN
    },
    Strategy {
        group: "admissionregistration.k8s.io",
        kind: "MutatingWebhookConfiguration",
        meta: MetaRules { finalizers: Finalizers::Qualified, ..CLUSTER },
        unconditional_update: false,
        generation: true,
        bump: Bump::Own,
        default: webhooks::default_mutating,
        prepare_update: webhooks::prepare_update,
        validate: webhooks::validate_mutating,
        update_steps: &[Meta, Object],
        ..PLAIN
    },
    Strategy {
        group: "admissionregistration.k8s.io",
        kind: "ValidatingAdmissionPolicy",
        meta: MetaRules { finalizers: Finalizers::Qualified, ..CLUSTER },
        unconditional_update: false,
        default: webhooks::default_policy,
        validate: admission_policies::validate_policy,
        update_steps: &[Meta, Object],
        ..COUNTED_WITH_STATUS
    },
    Strategy {
        group: "admissionregistration.k8s.io",
        kind: "ValidatingAdmissionPolicyBinding",
        meta: MetaRules { finalizers: Finalizers::Qualified, ..CLUSTER },
        unconditional_update: false,
        default: webhooks::default_policy_binding,
        validate: admission_policies::validate_binding,
        update_steps: &[Meta, Object],
        ..COUNTED
    },
    Strategy {
        group: flow_control::GROUP,
        kind: "FlowSchema",
        meta: MetaRules { finalizers: Finalizers::Qualified, ..CLUSTER },
        default: flow_control::default_schema,
        validate: flow_control::validate_schema,
        update_steps: &[MetaUpdate, Meta, Object],
        status: Some(Status { validate: flow_control::validate_status, ..STATUS }),
        ..COUNTED_WITH_STATUS
    },
    Strategy {
        group: flow_control::GROUP,
        kind: "PriorityLevelConfiguration",
        meta: MetaRules { finalizers: Finalizers::Qualified, ..CLUSTER },
        default: flow_control::default_level,
        validate: flow_control::validate_level,
        update_steps: &[MetaUpdate, Meta, Object],
        status: Some(Status { validate: flow_control::validate_status, ..STATUS }),
        ..COUNTED_WITH_STATUS
    },
    Strategy {
        group: "apiregistration.k8s.io",
        kind: "APIService",
        meta: MetaRules { name: NameRule::PathSegment, finalizers: Finalizers::Qualified, ..CLUSTER },
        unconditional_update: false,
        default: api_service::default_api_service,
        prepare: api_service::prepare_api_service,
        validate: api_service::validate_api_service,
        update_steps: &[MetaUpdate, Meta, Object],
        status: Some(Status {
            prepare: api_service::prepare_api_service_status,
            validate: api_service::validate_api_service_status,
            empty: None,
            ..STATUS
        }),
        ..WITH_STATUS
    },
];

static INDEX: LazyLock<HashMap<(&str, &str), &Strategy>> =
    LazyLock::new(|| TABLE.iter().map(|row| ((row.group, row.kind), row)).collect());

/// All rows.
pub fn all() -> &'static [Strategy] {
    TABLE
}

/// The row of a kind.
pub fn find(group: &str, kind: &str) -> Option<&'static Strategy> {
    INDEX.get(&(group, kind)).copied()
}

fn prepare_pod_update(new: &mut Value, old: &Value, _: &Context) {
    pod::update::prepare(new, old);
}

fn prepare_pod_status(new: &mut Value, old: &Value, _: &Context) {
    pod::status::prepare(new, old);
}

fn warn_pod(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_none() {
        warn_host_name(object, "the Pod's hostname", warnings);
        pod::warnings::of_template(object, &super::place::Place::OBJECT, warnings);
    }
}

fn prepare_pod_template(object: &mut Value, _: &Context) {
    apps::drop_template_fields(object, &Value::Null, &["template", "spec"]);
}

fn prepare_pod_template_update(new: &mut Value, old: &Value, _: &Context) {
    apps::drop_template_fields(new, old, &["template", "spec"]);
}

fn warn_pod_template(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_none_or(|old| super::meta::generation(object) != super::meta::generation(old)) {
        pod::warnings::of_template(get(object, "template"), &super::place::Place::root("template"), warnings);
    }
}

fn core_event(object: &Value, errors: &mut ErrorList) {
    small::validate_event(object, small::EventVersion::Core, errors);
}

fn core_event_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    small::validate_event_update(new, old, small::EventVersion::Core, errors);
}

fn new_event(object: &Value, errors: &mut ErrorList) {
    small::validate_event(object, small::EventVersion::Events, errors);
}

fn new_event_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    small::validate_event_update(new, old, small::EventVersion::Events, errors);
}

fn ingress_on_update(new: &Value, _: &Value, errors: &mut ErrorList) {
    ingress::validate_ingress(new, errors);
}

fn attachment_on_update(new: &Value, _: &Value, errors: &mut ErrorList) {
    storage::validate_attachment(new, errors);
}

/// Sets the status that a new object starts with, where the table names one.
pub fn clear_status(object: &mut Value, strategy: &Strategy) {
    let Some(text) = strategy.status.and_then(|status| status.empty) else { return };
    put(object, "status", serde_json::from_str::<Value>(text).unwrap_or_default());
}
