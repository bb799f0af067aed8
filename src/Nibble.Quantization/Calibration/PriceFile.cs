using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Files.Gguf;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// What rounding each tensor alone was measured to cost (<see cref="Sensitivity"/>), in a GGUF file without tensors: four arrays of
/// its metadata, an entry a tensor. It is written anew with each entry, so a stopped run loses none.
/// </summary>
public sealed class PriceFile
{
    private const string Type = "prices", TensorsKey = "nibble.tensors", FormatsKey = "nibble.formats";
    private const string DivergencesKey = "nibble.divergences", ErrorsKey = "nibble.relative_errors";

    private readonly string _path;
    private readonly StatisticsKey _key;
    private readonly Dictionary<(string Tensor, string Format), (double Divergence, double RelativeError)> _prices = [];

    /// <param name="path">Need not exist.</param>
    /// <param name="key">What it must have been measured on.</param>
    /// <exception cref="UnusableInputException">It was measured on something else, or it is no such file.</exception>
    public PriceFile(string path, StatisticsKey key)
    {
        (_path, _key) = (path, key);
        if (!File.Exists(path)) return;
        using var file = new GgufFile(path);
        GgufMetadata found = file.Metadata;
        key.Check(found, Type);
        string[] tensors = found.GetArray<string>(TensorsKey), formats = found.GetArray<string>(FormatsKey);
        double[] divergences = found.GetArray<double>(DivergencesKey), errors = found.GetArray<double>(ErrorsKey);
        if (formats.Length != tensors.Length || divergences.Length != tensors.Length || errors.Length != tensors.Length) throw Wrong("its arrays differ in length");
        for (int i = 0; i < tensors.Length; i++)
        {
            // A divergence of nothing may come out a hair below zero.
            if (!(double.IsFinite(divergences[i]) && divergences[i] > -1 && double.IsFinite(errors[i]) && errors[i] >= 0)) throw Wrong($"the price of {Quote.Name(tensors[i])} is none");
            if (!_prices.TryAdd((tensors[i], formats[i]), (divergences[i], errors[i]))) throw Wrong($"{Quote.Name(tensors[i])} has two prices");
        }
    }

    /// <summary>Prices that were found in the file.</summary>
    public int Taken { get; private set; }

    /// <summary>Prices that were added to it.</summary>
    public int Added { get; private set; }

    /// <summary>The price of a tensor in a format: from the file, or measured now and added to it. Null if it cannot be measured.</summary>
    internal (double Divergence, double RelativeError)? Find(string tensor, Format format, Func<(double Divergence, double RelativeError)?> measure)
    {
        if (_prices.TryGetValue((tensor, format.Name), out (double Divergence, double RelativeError) known))
        {
            Taken++;
            return known;
        }
        if (measure() is not { } measured) return null;
        Added++;
        _prices.Add((tensor, format.Name), measured);
        Write();
        return measured;
    }

    private void Write()
    {
        GgufMetadata metadata = _key.Describe(_path, Type);
        metadata.Set(TensorsKey, _prices.Keys.Select(k => k.Tensor).ToArray());
        metadata.Set(FormatsKey, _prices.Keys.Select(k => k.Format).ToArray());
        metadata.Set(DivergencesKey, _prices.Values.Select(v => v.Divergence).ToArray());
        metadata.Set(ErrorsKey, _prices.Values.Select(v => v.RelativeError).ToArray());
        using var writer = new GgufWriter(_path, metadata, [], force: true);
        writer.Commit();
    }

    private UnusableInputException Wrong(string what) => new($"{_path}: {what}; delete the file, and prices are measured again");
}
