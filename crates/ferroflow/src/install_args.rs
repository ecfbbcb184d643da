//! What can be said on the command line of Ferroflow in a cluster.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// A cluster.
#[derive(ClapArgs, Debug)]
pub struct ClusterPlace {
    /// The kubeconfig of the cluster. Without it, the one that kubectl would take.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig. Without it the current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Where Ferroflow is in a cluster.
#[derive(ClapArgs, Debug)]
pub struct InstalledPlace {
    #[command(flatten)]
    pub cluster: ClusterPlace,

    /// The namespace of the servers.
    #[arg(long, value_name = "NAMESPACE", default_value = crate::deploy::objects::NAME)]
    pub namespace: String,
}

#[derive(ClapArgs, Debug)]
pub struct Install {
    #[command(flatten)]
    pub place: InstalledPlace,

    /// The namespace of runs that name none. Without it that of the installation that is there, or kubeflow.
    #[arg(long, value_name = "NAMESPACE")]
    pub runs_namespace: Option<String>,

    /// The image of the servers, which nodes have or can pull. Without it the one that is there, or ferroflow and this
    /// program's version.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,

    /// The image of the launcher, which runs in the pods of steps. Without it the one that is there, or
    /// ferroflow-launcher and this program's version.
    #[arg(long, value_name = "IMAGE")]
    pub launcher_image: Option<String>,

    /// Servers. Without it as many as there are, or two, or one where records are on a volume.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub replicas: Option<u32>,

    /// The database of records, as postgres://USER:PASSWORD@HOST/DATABASE; it is kept in a Secret. Without it records and
    /// artifacts are on a volume.
    #[arg(long, value_name = "URL", env = "FERROFLOW_RECORDS", hide_env_values = true)]
    pub records: Option<String>,

    /// The bucket of artifacts and logs: s3://BUCKET or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    pub artifacts: Option<String>,

    /// The S3 server, as pods reach it; empty for Amazon's. Without it the one that is there, or Amazon's.
    #[arg(long, value_name = "URL")]
    pub s3_endpoint: Option<String>,

    /// The region of the bucket. Without it the one that is there, or us-east-1.
    #[arg(long, value_name = "REGION")]
    pub s3_region: Option<String>,

    /// A file of credentials, as ~/.aws/credentials, of which the profile AWS_PROFILE or default is taken and kept in a
    /// Secret. Without it those that are there.
    #[arg(long, value_name = "FILE")]
    pub s3_credentials: Option<PathBuf>,

    /// The class of the volume, for one that is made. Without it the cluster's own choice.
    #[arg(long, value_name = "CLASS")]
    pub storage_class: Option<String>,

    /// The size of the volume, which can grow where its class lets it. Without it as it is, or 20Gi.
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,

    /// A host name by which clients reach the servers from outside, as that of an Ingress; may be given more than once.
    /// Without it those that are there.
    #[arg(long = "name", value_name = "HOST")]
    pub names: Vec<String>,

    /// Steps that have a pod at the same time, in all namespaces together. Without it as it is, or 100.
    #[arg(long, value_name = "COUNT")]
    pub running_steps: Option<usize>,

    /// Steps that have a pod at the same time in one namespace. Without it as it is, or 100.
    #[arg(long, value_name = "COUNT")]
    pub running_steps_per_namespace: Option<usize>,

    /// Print the objects in YAML, and apply nothing. What is there is kept in them where the cluster answers.
    #[arg(long)]
    pub print: bool,
}

#[derive(ClapArgs, Debug)]
pub struct Uninstall {
    #[command(flatten)]
    pub place: InstalledPlace,

    /// The namespace of runs that name none. Without it that of the installation that is there, or kubeflow.
    #[arg(long, value_name = "NAMESPACE")]
    pub runs_namespace: Option<String>,

    /// Remove Secrets, the volume, the servers' Service and the namespaces as well. What is in a database or a bucket
    /// stays.
    #[arg(long)]
    pub delete_data: bool,
}

#[derive(ClapArgs, Debug)]
pub struct Doctor {
    #[command(flatten)]
    pub place: InstalledPlace,

    /// The namespace of runs that name none. Without it that of the installation that is there, or kubeflow.
    #[arg(long, value_name = "NAMESPACE")]
    pub runs_namespace: Option<String>,
}
