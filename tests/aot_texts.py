"""Texts of programs that the TPU compiler (libtpu 0.0.42.1) made, shortened to the lines and attributes that matter."""

_ALL = "{{0,2,4,6,8,10,12,14},{1,3,5,7,9,11,13,15}}"

# jax.lax.scan of 10 rounds with a psum over `data` of a mesh (8, 2) of v5e:4x4
SCAN = f"""HloModule jit_g, is_scheduled=true, num_partitions=16

FileNames
1 "/tmp/a.py"

%fused_computation.clone.1 (param_0.9: f32[128,256], param_1.9: f32[]) -> f32[128,256] {{
  %param_0.9 = f32[128,256]{{1,0:T(8,128)S(1)}} parameter(0)
  %sin.6 = f32[128,256]{{1,0:T(8,128)}} sine(%param_0.9), metadata={{op_name="jit(g)/sin"}}
  %param_1.9 = f32[]{{:T(128)}} parameter(1)
  %mul.13 = f32[128,256]{{1,0:T(8,128)}} broadcast(%param_1.9), dimensions={{}}
  ROOT %mul.12 = f32[128,256]{{1,0:T(8,128)S(1)}} multiply(%sin.6, %mul.13)
}}

%region_2.2 (psum.1: f32[], psum.4: f32[]) -> f32[] {{
  %psum.4 = f32[]{{:T(128)}} parameter(1)
  %psum.1 = f32[]{{:T(128)}} parameter(0)
  ROOT %add.2 = f32[]{{:T(128)}} add(%psum.1, %psum.4)
}}

%body (wide.param.2: (s32[], f32[128,256], f32[10,8], f32[])) -> (s32[], f32[128,256], f32[10,8], f32[]) {{
  %constant.4 = s32[]{{:T(128)}} constant(1)
  %wide.param.2 = (s32[]{{:T(128)}}, f32[128,256]{{1,0:T(8,128)S(1)}}, f32[10,8]{{0,1:T(8,128)}}, f32[]) parameter(0)
  %get-tuple-element.48 = s32[]{{:T(128)}} get-tuple-element(%wide.param.2), index=0
  %copy.5 = s32[]{{:T(128)S(6)}} copy(%get-tuple-element.48)
  %add.11 = s32[]{{:T(128)}} add(%copy.5, %constant.4)
  %get-tuple-element.49 = f32[128,256]{{1,0:T(8,128)S(1)}} get-tuple-element(%wide.param.2), index=1
  %get-tuple-element.54 = f32[10,8]{{0,1:T(8,128)}} get-tuple-element(%wide.param.2), index=2
  %get-tuple-element.55 = f32[]{{:T(128)}} get-tuple-element(%wide.param.2), index=3
  %sine_multiply_fusion.2 = f32[128,256]{{1,0:T(8,128)S(1)}} fusion(%get-tuple-element.49, %get-tuple-element.55), \
kind=kLoop, calls=%fused_computation.clone.1, backend_config={{"window_config":{{"estimated_cycles":"3338"}}}}
  %psum.9 = f32[128,256]{{1,0:T(8,128)S(1)}} all-reduce(%sine_multiply_fusion.2), channel_id=1, \
replica_groups={_ALL}, use_global_device_ids=true, to_apply=%region_2.2
  %add.12 = f32[128,256]{{1,0:T(8,128)S(1)}} add(%get-tuple-element.49, %psum.9), \
backend_config={{"window_config":{{"estimated_cycles":"2373"}}}}
  ROOT %tuple.16 = (s32[]{{:T(128)}}, f32[128,256]{{1,0:T(8,128)S(1)}}, f32[10,8]{{0,1:T(8,128)}}, f32[]) \
tuple(%add.11, %add.12, %get-tuple-element.54, %get-tuple-element.55)
}}

%condition (wide.param.1: (s32[], f32[128,256], f32[10,8], f32[])) -> pred[] {{
  %constant.10 = s32[]{{:T(128)}} constant(10)
  %wide.param.1 = (s32[]{{:T(128)}}, f32[128,256]{{1,0:T(8,128)S(1)}}, f32[10,8]{{0,1:T(8,128)}}, f32[]) parameter(0)
  %get-tuple-element.28 = s32[]{{:T(128)}} get-tuple-element(%wide.param.1), index=0
  ROOT %lt.3 = pred[]{{:T(512)}} compare(%get-tuple-element.28, %constant.10), direction=LT
}}

ENTRY %main (param.4: f32[128,256], param.5: f32[10,8], param.6: f32[]) -> f32[128,256] {{
  %constant.11 = s32[]{{:T(128)}} constant(0)
  %param.6 = f32[]{{:T(128)}} parameter(2)
  %param.5 = f32[10,8]{{0,1:T(8,128)}} parameter(1), sharding={{devices=[8,1,2]<=[16] last_tile_dim_replicate}}
  %param.4 = f32[128,256]{{1,0:T(8,128)}} parameter(0), sharding={{replicated}}
  %copy-start.1 = (f32[128,256]{{1,0:T(8,128)S(1)}}, f32[128,256]{{1,0:T(8,128)}}, u32[]{{:S(2)}}) copy-start(%param.4)
  %copy.12 = s32[]{{:T(128)}} copy(%constant.11)
  %copy-done.1 = f32[128,256]{{1,0:T(8,128)S(1)}} copy-done(%copy-start.1)
  %tuple.19 = (s32[]{{:T(128)}}, f32[128,256]{{1,0:T(8,128)S(1)}}, f32[10,8]{{0,1:T(8,128)}}, /*index=3*/f32[]) \
tuple(%copy.12, %copy-done.1, %param.5, /*index=3*/%param.6)
  %while.10 = (s32[]{{:T(128)}}, f32[128,256]{{1,0:T(8,128)S(1)}}, f32[10,8]{{0,1:T(8,128)}}, f32[]) \
while(%tuple.19), condition=%condition, body=%body, metadata={{op_name="jit(g)/while"}}
  %get-tuple-element.56 = f32[128,256]{{1,0:T(8,128)S(1)}} get-tuple-element(%while.10), index=1
  %copy-start = (f32[128,256]{{1,0:T(8,128)}}, f32[128,256]{{1,0:T(8,128)S(1)}}, u32[]{{:S(2)}}) \
copy-start(%get-tuple-element.56)
  ROOT %copy-done = f32[128,256]{{1,0:T(8,128)}} copy-done(%copy-start)
}}
"""

# an asynchronous all-gather: the inside of three fusions, all of one channel; and a permutation with start and done
ASYNC = """HloModule jit_step, is_scheduled=true, num_partitions=16

%fused_computation.302 (param_0.988: f32[1,1,256]) -> (f32[1,1,256], f32[16,1,256]) {
  %param_0.988 = f32[1,1,256]{2,1,0:T(1,128)} parameter(0)
  %all-gather.8 = f32[16,1,256]{2,1,0:T(1,128)} all-gather(%param_0.988), channel_id=17, \
replica_groups=mesh['axis_0'=16] {'axis_0'}, dimensions={0}, use_global_device_ids=true
  ROOT %tuple.1 = (f32[1,1,256]{2,1,0:T(1,128)}, f32[16,1,256]{2,1,0:T(1,128)}) tuple(%param_0.988, %all-gather.8)
}

%async_collective_fusion.210 (param_0.992: f32[1,1,256], param_1.1: f32[16,1,256]) -> f32[16,1,256] {
  %param_0.992 = f32[1,1,256]{2,1,0:T(1,128)} parameter(0)
  %param_1.1 = f32[16,1,256]{2,1,0:T(1,128)} parameter(1)
  ROOT %all-gather.10 = f32[16,1,256]{2,1,0:T(1,128)} all-gather(%param_0.992), channel_id=17, \
replica_groups=mesh['axis_0'=16] {'axis_0'}, dimensions={0}, use_global_device_ids=true
}

ENTRY %main (param.0: f32[1,1,256]) -> f32[4873] {
  %param.0 = f32[1,1,256]{2,1,0:T(1,128)} parameter(0)
  %async-collective-start = (f32[1,1,256]{2,1,0:T(1,128)}, f32[16,1,256]{2,1,0:T(1,128)}) fusion(%param.0), \
kind=kOutput, calls=%fused_computation.302
  %get-tuple-element.1 = f32[16,1,256]{2,1,0:T(1,128)} get-tuple-element(%async-collective-start), index=1
  %async-collective-done = f32[16,1,256]{2,1,0:T(1,128)} fusion(%param.0, %get-tuple-element.1), \
kind=kOutput, calls=%async_collective_fusion.210
  %broadcast.1 = f32[4873]{0:T(1024)S(1)} broadcast(%async-collective-done), dimensions={}
  %collective-permute-start.2 = (f32[4873]{0:T(1024)S(1)}, f32[4873]{0:T(1024)S(1)}, u32[]{:S(2)}, u32[]{:S(2)}) \
collective-permute-start(%broadcast.1), channel_id=9, source_target_pairs={{1,0},{2,1},{3,2},{15,14}}
  ROOT %collective-permute-done.2 = f32[4873]{0:T(1024)S(1)} collective-permute-done(%collective-permute-start.2)
}
"""

# an all-gather and a scatter that run on a SparseCore, of a train step for tpu7x:2x2x1
SPARSE = """HloModule jit_step, is_scheduled=true, num_partitions=8

%called_computation.2 (param_0.8: f32[1,256], param_1.3: token[]) -> f32[8,256] {
  %param_1.3 = token[] parameter(1)
  %param_0.8 = f32[1,256]{1,0:T(1,128)} parameter(0)
  ROOT %all-gather.7 = f32[8,256]{1,0:T(1,128)} all-gather(%param_0.8), channel_id=2, \
replica_groups=mesh['axis_0'=8] {'axis_0'}, dimensions={0}, use_global_device_ids=true
}, execution_thread="sparsecore"

%fused_computation.7 (param_0.5: f32[8], param_1.5: s32[4096], param_2.5: f32[4096]) -> f32[8] {
  %param_0.5 = f32[8]{0:T(128)} parameter(0)
  %param_1.5 = s32[4096]{0:T(1024)} parameter(1)
  %param_2.5 = f32[4096]{0:T(1024)} parameter(2)
  ROOT %scatter.5 = f32[8]{0:T(128)} scatter(%param_0.5, %param_1.5, %param_2.5), to_apply=%add
}, execution_thread="sparsecore"

%called_computation.3 (param_0.1: f32[8], param_1.1: s32[4096], param_2.8: f32[4096], param_3.5: token[]) -> f32[8] {
  %param_3.5 = token[] parameter(3)
  %param_2.8 = f32[4096]{0:T(1024)} parameter(2)
  %param_1.1 = s32[4096]{0:T(1024)} parameter(1)
  %param_0.1 = f32[8]{0:T(128)} parameter(0)
  ROOT %scatter_offload_custom_fusion.3 = f32[8]{0:T(128)} fusion(%param_0.1, %param_1.1, %param_2.8), kind=kCustom, \
calls=%fused_computation.7, backend_config={"window_config":{"estimated_cycles":"18446744073709551615"}}
}, execution_thread="sparsecore"

ENTRY %main (param.0: f32[1,256], param.1: f32[8], param.2: s32[4096], param.3: f32[4096]) -> f32[8] {
  %param.0 = f32[1,256]{1,0:T(1,128)} parameter(0)
  %param.1 = f32[8]{0:T(128)} parameter(1)
  %param.2 = s32[4096]{0:T(1024)} parameter(2)
  %param.3 = f32[4096]{0:T(1024)} parameter(3)
  %prepare = token[] custom-call(), custom_call_target="PrepareAsyncCallDone"
  %all-gather.8.cloned.1.call-start = ((f32[1,256]{1,0:T(1,128)}, token[]), f32[8,256]{1,0:T(1,128)}) \
call-start(%param.0, %prepare), async_execution_thread="sparsecore", to_apply=%called_computation.2
  %all-gather.8.cloned.1.call-done = f32[8,256]{1,0:T(1,128)} call-done(%all-gather.8.cloned.1.call-start)
  %start.2 = ((f32[8]{0:T(128)}, s32[4096]{0:T(1024)}, f32[4096]{0:T(1024)}, token[]), f32[8]{0:T(128)}) \
call-start(%param.1, %param.2, %param.3, %prepare), async_execution_thread="sparsecore", to_apply=%called_computation.3
  ROOT %done.2 = f32[8]{0:T(128)} call-done(%start.2)
}
"""

# the same psum on two slices of v5e:4x4: reduce-scatter in a slice, a transfer between slices, all-gather in a slice
SLICES = f"""HloModule jit_g, is_scheduled=true, num_partitions=32

ENTRY %main (param.4: f32[128,256]) -> f32[128,256] {{
  %param.4 = f32[128,256]{{1,0:T(8,128)}} parameter(0)
  %reduce-scatter.3 = f32[16,256]{{1,0:T(8,128)}} reduce-scatter(%param.4), channel_id=1, replica_groups={_ALL}, \
use_global_device_ids=true, dimensions={{0}}, to_apply=%region_2.2
  %bitcast.4 = f32[4,8,128]{{2,1,0:T(8,128)}} bitcast(%reduce-scatter.3)
  %after-all.2 = token[] after-all()
  %send.2 = (f32[4,8,128]{{2,1,0:T(8,128)}}, u32[], token[]) send(%bitcast.4, %after-all.2), channel_id=2, \
is_host_transfer=true, frontend_attributes={{_xla_megascale_target="{{1,2}}x{{0:15}}",\
_xla_megascale_transfer_type="ALL_REDUCE"}}
  %recv.2 = (f32[4,8,128]{{2,1,0:T(8,128)}}, u32[], token[]) recv(%after-all.2), channel_id=1, \
is_host_transfer=true, frontend_attributes={{_xla_megascale_transfer_type="ALL_REDUCE"}}
  %send-done.2 = token[] send-done(%send.2), channel_id=2, is_host_transfer=true
  %recv-done.2 = (f32[4,8,128]{{2,1,0:T(8,128)}}, token[]) recv-done(%recv.2), channel_id=1, is_host_transfer=true
  %get-tuple-element.9 = f32[4,8,128]{{2,1,0:T(8,128)}} get-tuple-element(%recv-done.2), index=0
  %bitcast.5 = f32[16,256]{{1,0:T(8,128)}} bitcast(%get-tuple-element.9)
  ROOT %all-gather.8 = f32[128,256]{{1,0:T(8,128)}} all-gather(%bitcast.5), channel_id=3, replica_groups={_ALL}, \
dimensions={{0}}, use_global_device_ids=true
}}
"""


def entry(*lines: str) -> str:
    """A program of the given instructions alone, the last of which is what it returns."""
    *others, last = lines
    text = "\n".join([*(f"  {line}" for line in others), f"  ROOT {last}"])
    return f"HloModule m\n\nENTRY %main (p: f32[1]) -> f32[1] {{\n{text}\n}}\n"
