using System.Numerics.Tensors;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;

namespace Nibble.Quantization.Rotation;

/// <summary>
/// The residual stream of a model, rotated by a randomized Hadamard matrix R without a change of what the model computes
/// (QuaRot, arXiv:2404.00456; SpinQuant, arXiv:2405.16406). Whatever writes the stream writes x R, whatever reads it reads
/// with W R, and a root mean square does not see a rotation; gains of norms move into the matrices that read behind them. No
/// column of such a matrix holds outliers, and nothing is left to do when the model runs.
/// </summary>
/// <remarks>
/// Weights are rows of outputs. Readers: W diag(gains) R. Writers: Rᵀ W, their biases b R. Embedding: E R. Norms: 1. A head that is
/// the embedding becomes a matrix of its own, for it reads behind a norm and the embedding does not.
/// </remarks>
internal sealed class ResidualRotation
{
    /// <summary>Where a file says that its model is rotated (docs/format.md).</summary>
    public const string Key = "nibble.rotation";

    private static readonly string[] AttentionReaders = ["attn_q", "attn_k", "attn_v", "attn_qkv", "attn_q_a", "attn_kv_a_mqa"];

    private static readonly string[] FeedForwardReaders =
        ["ffn_gate", "ffn_up", "ffn_gate_up", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_gate_shexp", "ffn_up_shexp"];

    private static readonly string[] Ends = ["token_embd", "attn_norm", "ffn_norm", "output_norm", "output"];

    private static readonly string[] Writers = ["attn_output", "ffn_down", "ffn_down_exps", "ffn_down_shexp"];

    /// <summary>What neither reads nor writes the stream; biases of readers are such too.</summary>
    private static readonly string[] Inner =
        ["attn_q_norm", "attn_k_norm", "attn_q_a_norm", "attn_q_b", "attn_kv_a_norm", "attn_k_b", "attn_v_b", "attn_kv_b", "attn_sinks", "exp_probs_b"];

    private readonly ModelSource _source;
    private readonly ColumnRotation _rotation;

    /// <exception cref="UnusableInputException">The model has something that no rotation goes through, or is rotated already.</exception>
    public ResidualRotation(ModelSource source)
    {
        _source = source;
        if (source.Note(Key) is { Length: > 0 } note) throw new UnusableInputException($"{source.Path}: is rotated already ({note}); do not rotate it again");
        if (!source.Config.Causal || source.Config.Norm != NormKind.Rms || source.Config.NormBias) throw Refused("its norms subtract the mean or have biases");
        _rotation = new ColumnRotation(source.Config.Hidden, Hadamard.BlockOf(source.Config.Hidden));
    }

    /// <summary>What a file says of it: <c>hadamard-512</c>, columns that are mixed with each other.</summary>
    public string Note => $"hadamard-{_rotation.Width}";

    private UnusableInputException Refused(string why) =>
        new($"{_source.Path}: cannot be rotated: {why}; leave the rotation out, or take a format that rotates each matrix, as Linear4-h");

    /// <summary>The tensors of the rotated model, in the same order, its own head last.</summary>
    /// <param name="tensors">All of the model.</param>
    /// <exception cref="UnusableInputException">One of them is none that a rotation goes through.</exception>
    public IEnumerable<SourceTensor> Rotate(IReadOnlyList<SourceTensor> tensors)
    {
        foreach (SourceTensor tensor in tensors) yield return Rotate(tensor);
        if (!_source.Config.TiedHead) yield break;
        SourceTensor embedding = tensors.First(t => t.Matrices[0].Module == "token_embd");
        yield return RotatedTensor.Renamed(embedding, Read(embedding, Gains("output_norm")), "output.weight", HeadName());
    }

    private string HeadName() => _source.File is GgufFile ? "output.weight"
        : _source.Architecture.Tensors(_source.Config).First(t => t.Name == "output").HuggingFace + ".weight";

    private SourceTensor Rotate(SourceTensor tensor)
    {
        string name = tensor.Matrices[0].Module;
        bool isBias = name.EndsWith(".bias", StringComparison.Ordinal);
        string path = isBias ? name[..^".bias".Length] : name, module = path[(path.LastIndexOf('.') + 1)..], block = path[..^module.Length];
        if (tensor.IsTurned) throw Refused($"tensor {Quote.Name(tensor.Info.Name)} is stored with its inputs as rows");
        bool readsAttention = AttentionReaders.Contains(module), readsFeedForward = FeedForwardReaders.Contains(module), writes = Writers.Contains(module);
        if (Inner.Contains(module) || module.StartsWith("rope_", StringComparison.Ordinal) || (isBias && (readsAttention || readsFeedForward))) return tensor;
        if (writes) return new RotatedTensor(tensor, isBias ? Read(tensor, []) : new WrittenRows(tensor, _rotation).ReadRow);
        if (isBias || !(readsAttention || readsFeedForward || Ends.Contains(module)))
            throw Refused($"{Quote.Name(name)} is none of the tensors that a rotation is known to go through");
        return new RotatedTensor(tensor, module switch
        {
            "token_embd" => Read(tensor, []),
            "output" => Read(tensor, Gains("output_norm")),
            "attn_norm" or "ffn_norm" or "output_norm" => (_, row) => row[..tensor.Columns].Fill(1 - tensor.Offset),
            _ => Read(tensor, Gains(block + (readsAttention ? "attn_norm" : FeedForwardNorm(block)))),
        });
    }

    /// <summary>Blocks side by side may read behind one norm.</summary>
    private string FeedForwardNorm(string block) =>
        _source.Config.ParallelResidual && !_source.Tensors.ContainsKey($"{block}ffn_norm.weight") ? "attn_norm" : "ffn_norm";

    private float[] Gains(string norm) => _source.Tensors.TryGetValue($"{norm}.weight", out ModelTensor? gains) ? gains.LoadVector()
        : throw Refused($"there is no norm {Quote.Name(norm)} before what reads the residual stream");

    /// <summary>Rows whose columns are the stream's.</summary>
    private RowReader Read(SourceTensor tensor, float[] gains) => (r, row) =>
    {
        Span<float> own = row[..tensor.Columns];
        tensor.ReadRow(r, own);
        if (gains.Length > 0) TensorPrimitives.Multiply(own, gains, own);
        _rotation.Rotate(own);
    };
}
