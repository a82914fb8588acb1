//! Every kernel there is, checked without a device: naga validates it and writes what each kind of driver is given.

use std::process::{Command, Stdio};

use kdloss::wgpu::internals::{Join, Kernel, Variant, Workgroup};
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use rayon::prelude::*;

/// All kernels, joined either way; workgroups as large as a GPU's.
fn kernels() -> Vec<(Kernel, Workgroup)> {
    let both = [Join::Workgroup, Join::Subgroup { size: 32 }].map(|join| Workgroup { size: 256, join });
    let kernels = [Kernel::CountLabels, Kernel::FoldRows].into_iter().chain(Variant::all().map(Kernel::Distill));
    kernels.flat_map(|kernel| both.map(|workgroup| (kernel, workgroup))).collect()
}

fn validated(kernel: Kernel, workgroup: Workgroup) -> (naga::Module, ModuleInfo) {
    let source = kernel.source(workgroup);
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|error| panic!("{kernel}: {}", error.emit_to_string(&source)));
    // The only capability beyond the least that WebGPU promises.
    let capabilities = match workgroup.join {
        Join::Workgroup => Capabilities::empty(),
        Join::Subgroup { .. } => Capabilities::SUBGROUP,
    };
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{kernel}: {}", error.emit_to_string(&source)));
    (module, info)
}

#[test]
fn every_kernel_is_valid_and_becomes_spirv_msl_and_hlsl() {
    let kernels = kernels();
    // 6 types and layouts of the student, 8 places for the gradient, and the terms: hard alone, or with each of the
    // 6 teachers soft alone or both under 4 kinds of temperature; then 2 ways to join.
    assert_eq!(kernels.len(), 2 * (2 + 6 * 8 * (1 + 6 * 5)));
    kernels.into_par_iter().for_each(|(kernel, workgroup)| {
        let (module, info) = validated(kernel, workgroup);
        let spirv = spv::write_vec(&module, &info, &spirv_options(), None);
        assert!(spirv.unwrap_or_else(|error| panic!("{kernel}: {error}")).len() > 100);

        let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..msl::Options::default() };
        let metal = msl::write_string(&module, &info, &options, &msl::PipelineOptions::default());
        assert!(metal.unwrap_or_else(|error| panic!("{kernel}: {error}")).0.contains("kernel void"));

        let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..hlsl::Options::default() };
        let mut direct3d = String::new();
        let pipeline_options = hlsl::PipelineOptions::default();
        let mut writer = hlsl::Writer::new(&mut direct3d, &options, &pipeline_options);
        writer.write(&module, &info, None).unwrap_or_else(|error| panic!("{kernel}: {error}"));
        assert!(direct3d.contains("numthreads(256, 1, 1)"));
    });
}

fn spirv_options() -> spv::Options<'static> {
    spv::Options { lang_version: (1, 3), ..spv::Options::default() }
}

#[test]
fn barriers_stand_in_uniform_control_flow_if_tint_is_there_to_say_so() {
    let tint = Command::new("tint").arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if tint.is_err() {
        eprintln!("skipped: tint is not on the PATH, so its uniformity analysis did not run");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    kernels().into_par_iter().enumerate().for_each(|(index, (kernel, workgroup))| {
        let path = folder.path().join(format!("{index}.wgsl"));
        // Tint wants the extension to be named; naga does not know the name.
        let enable = if workgroup.join == Join::Workgroup { "" } else { "enable subgroups;\n" };
        std::fs::write(&path, format!("{enable}{}", kernel.source(workgroup))).unwrap();
        let output = Command::new("tint").args(["--format", "wgsl", "-o", "/dev/null"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{kernel}: {}", String::from_utf8_lossy(&output.stderr));
    });
}
