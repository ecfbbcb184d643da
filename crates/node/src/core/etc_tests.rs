use serde_json::{Value, json};

use super::*;

const HOST: &str = "# made by hand\nnameserver 192.0.2.1\nnameserver 127.0.0.53\nsearch corp.example\noptions edns0\n";
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 20, 255, 10);

fn pod(spec: Value) -> Pod {
    let mut spec = spec;
    spec["containers"] = json!([]);
    serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec})).unwrap()
}

#[test]
fn a_pod_is_in_its_own_hosts_file_by_all_its_names() {
    let plain = hosts(&pod(json!({})), "10.244.0.5", "");
    assert_eq!(plain, format!("# Kubernetes-managed hosts file.\n{LOCAL}10.244.0.5\tweb-0\n"));
    let named = json!({"hostname": "a", "subdomain": "web", "hostAliases": [
        {"ip": "192.0.2.9", "hostnames": ["db", "db.example"]}, {"ip": "::9", "hostnames": ["six"]}]});
    let text = hosts(&pod(named), "10.244.0.5", "");
    let end = "10.244.0.5\ta.web.shop.svc.cluster.local\ta\n\n# Entries added by HostAliases.\n\
               192.0.2.9\tdb\tdb.example\n::9\tsix\n";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn a_pod_on_the_hosts_network_has_the_hosts_file() {
    let spec = json!({"hostNetwork": true, "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["db"]}]});
    let expected = "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n\n\
                    # Entries added by HostAliases.\n192.0.2.9\tdb\n";
    assert_eq!(hosts(&pod(spec), "10.200.0.1", "127.0.0.1 localhost"), expected);
}

#[test]
fn names_are_looked_up_as_the_policy_says() {
    let cluster = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
                   nameserver 127.20.255.10\noptions ndots:5\n";
    let host = "search corp.example\nnameserver 192.0.2.1\nnameserver 127.0.0.53\noptions edns0\n";
    let without_loopback = host.replace("127.0.0.53", "127.20.255.10");
    let rows = [
        (json!({}), cluster),
        (json!({"dnsPolicy": "ClusterFirst"}), cluster),
        (json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), host),
        (json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), cluster),
        (json!({"dnsPolicy": "Default"}), without_loopback.as_str()),
        (json!({"dnsPolicy": "Default", "hostNetwork": true}), host),
        (
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]}}),
            "search resolv.conf.local\nnameserver 1.1.1.1\n",
        ),
        (
            json!({"dnsConfig": {"nameservers": ["127.20.255.10", "1.1.1.1"], "searches": ["svc.cluster.local", "x"],
                "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
            "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example x\n\
             nameserver 127.20.255.10\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
        ),
    ];
    for (spec, expected) in rows {
        let resolved = resolv_conf(&pod(spec.clone()), SERVER, HOST);
        assert_eq!(resolved.text, expected, "{spec}");
        assert_eq!(resolved.omitted, Vec::<String>::new(), "{spec}");
    }
}

#[test]
fn what_is_beyond_the_limits_is_omitted_and_told() {
    let searches: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    let spec = json!({"dnsPolicy": "None", "dnsConfig":
        {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"], "searches": searches}});
    let resolved = resolv_conf(&pod(spec), SERVER, HOST);
    let parsed = Resolver::parse(&resolved.text);
    assert_eq!((parsed.servers.len(), parsed.searches.len()), (3, 32));
    assert!(resolved.omitted[0].ends_with("the applied nameserver line is: 1.1.1.1 1.1.1.2 1.1.1.3"));
    assert!(resolved.omitted[1].starts_with("Search Line limits were exceeded"));
    let long: Vec<String> = (0..20).map(|number| format!("{}{number:02}", "x".repeat(200))).collect();
    let spec = json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": long}});
    let resolved = resolv_conf(&pod(spec), SERVER, HOST);
    assert_eq!(Resolver::parse(&resolved.text).searches.len(), 10);
}

#[test]
fn the_server_is_named_by_the_address_that_its_answers_come_from_where_it_has_its_port() {
    assert_eq!(name_server(20, 53), SERVER);
    assert_eq!(name_server(20, 40053), network::DNS);
}

#[test]
fn a_machine_is_called_as_its_pod_asks() {
    let rows = [
        (json!({}), Ok("web-0".to_owned())),
        (json!({"hostname": "a", "subdomain": "web"}), Ok("a".to_owned())),
        (
            json!({"hostname": "a", "subdomain": "web", "setHostnameAsFQDN": true}),
            Ok("a.web.shop.svc.cluster.local".to_owned()),
        ),
        (json!({"setHostnameAsFQDN": true}), Ok("web-0".to_owned())),
    ];
    for (spec, expected) in rows {
        assert_eq!(machine_name(&pod(spec.clone())), expected, "{spec}");
    }
    let long = json!({"hostname": "h".repeat(63), "subdomain": "web", "setHostnameAsFQDN": true});
    assert!(machine_name(&pod(long)).unwrap_err().contains("(64 characters is the max, 90 characters requested)"));
    let mut named = pod(json!({}));
    named.metadata.name = Some(format!("{}-b", "a".repeat(62)));
    assert_eq!(Identity::of(&named).hostname, "a".repeat(62));
}

#[test]
fn programs_of_the_host_are_told_by_variables() {
    let searches = "shop.svc.cluster.local svc.cluster.local cluster.local corp.example".to_owned();
    let rows = vec![("LOCALDOMAIN", searches), ("RES_OPTIONS", "ndots:5".to_owned())];
    assert_eq!(variables(&pod(json!({})), HOST), rows);
    assert_eq!(variables(&pod(json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}})), HOST), []);
}
