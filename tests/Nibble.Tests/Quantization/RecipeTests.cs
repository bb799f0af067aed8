using System.Globalization;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Quantization.Recipes;

namespace Nibble.Tests.Quantization;

public class RecipeTests
{
    private static readonly ModelTraits Base = new("llama", Layers: 8, QueriesPerKey: 2, Experts: 0, HasImportance: false);

    /// <summary>
    /// The header and the norms are the same in every file that llama-quantize made of the model, so two files differ by
    /// the matrices alone; a single tensor with another type would show.
    /// </summary>
    [Fact]
    public void Recipes_give_every_tensor_the_type_that_llama_quantize_gives_it()
    {
        const long bfloat16File = 59_028_672;
        long header = bfloat16File - Plan("BF16", Base).Bytes;
        foreach (string[] row in File.ReadLines(SharedData.Path("data/llama-cpp-base.tsv")).Skip(2).Select(line => line.Split('\t')))
        {
            bool hasImportance = row[1] == "imatrix";
            long theirs = long.Parse(row[2], CultureInfo.InvariantCulture);
            // Their quantized files have one key more, general.quantization_version, and four about the importance.
            long ours = header + Plan(row[0], Base with { HasImportance = hasImportance }).Bytes + (hasImportance ? 224 : 0);
            Assert.True(theirs - ours is >= 0 and < 96, $"{string.Join(' ', row[..2])}: {theirs} bytes, ours would have {ours}");
        }
    }

    [Fact]
    public void Importance_changes_the_choices_that_llama_quantize_changes()
    {
        ModelTraits known = Base with { HasImportance = true };
        Assert.Equal("Q4_0", FormatOf("Q4_0", Base, "blk.0.ffn_down.weight"));
        Assert.Equal("Q4_1", FormatOf("Q4_0", known, "blk.0.ffn_down.weight"));
        Assert.Equal("Q4_0", FormatOf("Q4_0", known, "blk.1.ffn_down.weight"));
    }

    [Theory]
    [InlineData("Q4_K_M", 0, "Q6_K")]
    [InlineData("Q4_K_M", 1, "Q4_K")]
    [InlineData("Q4_K_M", 2, "Q4_K")]
    [InlineData("Q4_K_M", 3, "Q6_K")]
    [InlineData("Q4_K_M", 7, "Q6_K")]
    [InlineData("Q3_K_M", 1, "Q5_K")]
    [InlineData("Q3_K_M", 2, "Q4_K")]
    [InlineData("Q4_K_S", 3, "Q5_K")]
    [InlineData("Q4_K_S", 4, "Q4_K")]
    public void Values_of_sensitive_layers_get_more_bits(string recipe, int layer, string format) =>
        Assert.Equal(format, FormatOf(recipe, Base, $"blk.{layer}.attn_v.weight"));

    [Fact]
    public void The_head_gets_more_bits_even_when_it_is_the_embedding()
    {
        Assert.Equal("Q6_K", FormatOf("Q4_0", Base, "token_embd.weight"));
        Assert.Equal("Q8_0", FormatOf("Q8_0", Base, "token_embd.weight"));
        IReadOnlyList<TensorInfo> untied = [.. Tensors(512), Matrix("output.weight", 8192, 512)];
        QuantizationPlan plan = QuantizationPlan.Make(Recipe.Parse("Q4_0"), untied, Base, new PlanOptions());
        Assert.Equal("Q4_0", plan.Tensors[0].Format.Name);
        Assert.Equal("Q6_K", plan.Tensors[^1].Format.Name);
    }

    [Fact]
    public void Overrides_come_first_and_pure_makes_no_exception()
    {
        var options = new PlanOptions { Overrides = [FormatOverride.Parse(@"blk\.\d+\.ffn_down=Q6_K")], Pure = true };
        QuantizationPlan plan = QuantizationPlan.Make(Recipe.Parse("Q4_0"), Tensors(512), Base, options);
        Assert.Equal("Q6_K", plan.Tensors.Single(t => t.Tensor.Name == "blk.3.ffn_down.weight").Format.Name);
        Assert.Equal("Q4_0", plan.Tensors.Single(t => t.Tensor.Name == "token_embd.weight").Format.Name);
        Assert.Equal("F32", plan.Tensors.Single(t => t.Tensor.Name == "output_norm.weight").Format.Name);
    }

    /// <summary>The first two rows are llama.cpp's table; no block of 32 divides 200, so F16 is left.</summary>
    [Theory]
    [InlineData("Q4_K", 96, "Q5_0")]
    [InlineData("Q6_K", 96, "Q8_0")]
    [InlineData("Q4_0", 200, "F16")]
    public void A_row_that_the_block_does_not_divide_falls_back_and_says_so(string format, int columns, string fallback)
    {
        QuantizationPlan plan = QuantizationPlan.Make(Recipe.Parse(format), Tensors(columns), Base, new PlanOptions { Pure = true });
        PlannedTensor query = plan.Tensors.Single(t => t.Tensor.Name == "blk.0.attn_q.weight");
        Assert.Equal(fallback, query.Format.Name);
        Assert.Equal(format, query.Wanted!.Name);
        Assert.Contains(query, plan.FellBack);
    }

    [Theory]
    [InlineData("Q4_0=", "there is no format ''")]
    [InlineData("ffn_down", "PATTERN=FORMAT")]
    [InlineData("blk(=Q4_0", "not a regular expression")]
    public void An_override_that_cannot_be_read_says_why(string text, string why) =>
        Assert.Contains(why, Assert.Throws<UnusableInputException>(() => FormatOverride.Parse(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void An_override_that_fits_no_tensor_is_an_error()
    {
        var options = new PlanOptions { Overrides = [FormatOverride.Parse("ffn_dwon=Q6_K")] };
        Assert.Throws<UnusableInputException>(() => QuantizationPlan.Make(Recipe.Parse("Q4_0"), Tensors(512), Base, options));
    }

    private static QuantizationPlan Plan(string recipe, ModelTraits model) =>
        QuantizationPlan.Make(Recipe.Parse(recipe), Tensors(512), model, new PlanOptions());

    private static string FormatOf(string recipe, ModelTraits model, string tensor) =>
        Plan(recipe, model).Tensors.Single(t => t.Tensor.Name == tensor).Format.Name;

    /// <summary>The tensors of the 29-million-parameter Llama whose files were measured.</summary>
    private static List<TensorInfo> Tensors(int columns)
    {
        List<TensorInfo> tensors = [Matrix("token_embd.weight", 8192, columns), Norm("output_norm.weight", columns)];
        for (int l = 0; l < Base.Layers; l++)
        {
            tensors.AddRange(
            [
                Norm($"blk.{l}.attn_norm.weight", columns), Norm($"blk.{l}.ffn_norm.weight", columns),
                Matrix($"blk.{l}.attn_q.weight", 512, columns), Matrix($"blk.{l}.attn_k.weight", 256, columns),
                Matrix($"blk.{l}.attn_v.weight", 256, columns), Matrix($"blk.{l}.attn_output.weight", 512, columns),
                Matrix($"blk.{l}.ffn_gate.weight", 1536, columns), Matrix($"blk.{l}.ffn_up.weight", 1536, columns),
                Matrix($"blk.{l}.ffn_down.weight", 512, 1536),
            ]);
        }
        return tensors;
    }

    private static TensorInfo Matrix(string name, int rows, int columns) => new(name, "BF16", FloatFormat.BF16, [rows, columns], 2L * rows * columns);

    private static TensorInfo Norm(string name, int columns) => new(name, "F32", FloatFormat.F32, [columns], 4L * columns);
}
