namespace Nibble.Files.Packed;

/// <summary>
/// FP8: weight, F8_E4M3 [out, in], and weight_scale_inv (which multiplies, for all its name) for blocks of
/// weight_block_size, as DeepSeek publishes, or weight_scale for the tensor or each row.
/// </summary>
internal sealed class Float8Layout : ForeignLayout
{
    public override IReadOnlyList<string> Methods => ["fp8", "fbgemm_fp8"];

    public override void Find(ForeignParts parts, QuantizationConfig config)
    {
        int[]? block = config.Numbers("weight_block_size");
        foreach (string ending in (ReadOnlySpan<string>)[".weight_scale_inv", ".weight_scale"])
            foreach (string module in parts.Before(ending))
            {
                ForeignPart codes = parts.Take($"{module}.weight"), scales = parts.Take(module + ending);
                parts.Add(ForeignFloat8.Of(codes.Info.Name, codes, scales, block));
            }
        parts.LeaveOut("scale the inputs of products to 8 bits; here inputs are not rounded so, and the tensors are left out",
            ".input_scale", ".input_scale_ub", ".activation_scale", ".k_scale", ".v_scale");
    }
}
